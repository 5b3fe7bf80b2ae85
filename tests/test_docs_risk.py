"""The table of docs/risk.md is the table of rules: id, unit, class, where, default and setting."""

from __future__ import annotations

from pathlib import Path

from algotrade.domain.rules import RULES, Rule
from algotrade.settings import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "risk.md"


def row(rule: Rule) -> str:
    known = {setting.name: setting for setting in SETTINGS}
    setting = known.get(rule.setting)
    default = setting.default or "none" if setting else ""
    cells = [
        rule.id,
        f"{rule.name}: {rule.told}",
        rule.unit,
        rule.kind,
        rule.reducing,
        "".join(kind[0] for kind in rule.where) or "n/a",
        default,
        f"`{rule.setting}`" if rule.setting else "",
    ]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def test_the_page_has_a_row_for_every_rule_and_no_other() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("<!-- rules -->") + 3
    found = lines[start : start + len(RULES)]
    assert found == [row(rule) for rule in RULES]
    assert not lines[start + len(RULES)].startswith("|")
    assert all(rule.setting in {one.name for one in SETTINGS} for rule in RULES if rule.setting)
