"""The words of a page in English and Chinese. A phrase is both; the page shows one."""

from typing import Any

from markupsafe import Markup, escape

PHRASES: dict[str, tuple[str, str]] = {
    "report": ("Report", "报告"),
    "right": (
        "Of {n:,} pictures of {split}, {correct:,} are right: {accuracy:.1%} (from {low:.1%} to {high:.1%} at 95 %).",
        "{split} 的 {n:,} 张图片中，{correct:,} 张正确：{accuracy:.1%}（95 % 区间 {low:.1%} 至 {high:.1%}）。",
    ),
    "better": (
        "Always saying {name} would be right for {share:.1%}: the network is surely better.",
        "总是回答 {name} 能答对 {share:.1%}：网络肯定更好。",
    ),
    "not better": (
        "Always saying {name} would be right for {share:.1%}: these pictures do not show that the network is better.",
        "总是回答 {name} 能答对 {share:.1%}：这些图片不能说明网络更好。",
    ),
    "mistake": (
        "Its commonest mistake: {true} is taken for {said}, {count:,} times of {support:,}.",
        "最常见的错误：把 {true} 认成 {said}，{support:,} 张中有 {count:,} 张。",
    ),
    "no mistake": ("It makes no mistake here.", "在这里没有错误。"),
    "course": ("How it learned", "学习过程"),
    "accuracy": ("accuracy", "准确率"),
    "loss": ("loss", "损失"),
    "train": ("training pictures, as they are varied", "训练图片（经过变化）"),
    "val": ("validation pictures", "验证图片"),
    "epoch": ("epoch", "轮"),
    "classes": ("Each class", "各个类别"),
    "class": ("class", "类别"),
    "precision": ("precision", "精确率"),
    "recall": ("recall", "召回率"),
    "f1": ("F1", "F1"),
    "support": ("pictures", "图片数"),
    "precision says": ("of those called so, the share that are", "被如此认定的图片中正确的比例"),
    "recall says": ("of those that are, the share called so", "该类图片中被认出的比例"),
    "confusion": ("What is taken for what", "什么被认成什么"),
    "rows": (
        "Rows are true, columns are what the network says. Press a cell to see its pictures.",
        "行是真实类别，列是网络的回答。点一个格子查看其中的图片。",
    ),
    "pairs": ("The commonest mistakes", "最常见的错误"),
    "worst": ("Worst mistakes", "最严重的错误"),
    "worst says": (
        "Wrong, and sure of it. Some may be wrong labels: look at them first.",
        "答错了，而且很有把握。其中有些可能是标签错误：请先看这些。",
    ),
    "is": ("is", "实际"),
    "says": ("says", "回答"),
    "unread": ("Pictures that could not be read", "不能读取的图片"),
    "settings": ("Settings", "设置"),
    "repeat": ("To repeat it", "重复这次运行"),
    "of": ("of", "共"),
    "more": ("and {count:,} more", "还有 {count:,} 张"),
}


def phrase(key: str, /, **values: Any) -> Markup:
    """Both languages of a phrase as HTML, of which the page shows one; names in it are escaped."""
    shown = {name: escape(value) if isinstance(value, str) else value for name, value in values.items()}
    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format(language, Markup(text).format(**shown))  # noqa: S704
        for language, text in zip(("en", "zh"), PHRASES[key], strict=True)
    )
