"""Scenes of real handwritten digits: a small, long-tailed, multi-label data set that needs no download.

The digits are scikit-learn's 1,797 handwritten originals of 8×8 pixels. Those used for training are used nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageFilter
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bmix.randomness import numpy_generator
from bmix.support.errors import InputError
from bmix.support.files import replaced_folder
from bmix.support.yaml_text import parse_yaml

CLASSES = [str(digit) for digit in range(10)]
BALANCED = "test-balanced"

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=10, multiple_of=10, le=99_990)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SceneCounts(_Part):
    """Pictures per split: whole tens, so that every class can be everywhere and equally often in `test-balanced`."""

    train: Count
    val: Count
    test: Count
    test_balanced: Count = Field(alias="test-balanced")


class HeldOut(_Part):
    """Shares of each class's originals that training never sees."""

    val: float = Field(ge=0.05, le=0.4)
    test: float = Field(ge=0.05, le=0.4)


class SceneSettings(_Part):
    """How scenes are composed; data/digits/scenes.yaml says what each value means."""

    scenes: SceneCounts
    held_out: HeldOut
    fall: float = Field(ge=1, le=10_000)
    digits: list[Share] = Field(min_length=1, max_length=10)
    size: tuple[Share, Share]
    turn: float = Field(ge=0, le=45)
    overlap: float = Field(ge=0, le=0.1)
    contrast: tuple[Share, Share]
    background: tuple[Share, Share]
    strokes: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0, le=100)]]
    grain: float = Field(ge=0, le=0.5)

    @model_validator(mode="after")
    def _values_fit_together(self) -> SceneSettings:
        for name in ("size", "contrast", "background", "strokes"):
            least, most = getattr(self, name)
            if least > most:
                raise ValueError(f"{name} runs from {least} to {most}: the smaller value comes first")
        if abs(sum(self.digits) - 1) > 1e-6:
            raise ValueError(f"the shares in digits sum to {sum(self.digits):g} instead of 1")
        room = 1 / _cells(len(self.digits))
        if not 0 < self.size[0] <= self.size[1] <= room:
            raise ValueError(f"size {list(self.size)}: {len(self.digits)} digits find room up to {room:.3g}, above 0")
        return self


def read_scene_settings(path: Path) -> SceneSettings:
    """Read and check a recipe; InputError names the file, each key that is wrong, and what it holds."""
    remedy = "correct it; data/digits/scenes.yaml is a recipe that works"
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
        return SceneSettings.model_validate(content)
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", "the recipe of the scenes", "correct data.path") from error
    except ValidationError as error:
        found, expected = zip(*map(_explain, error.errors()), strict=True)
        raise InputError(str(path), "; ".join(found), "; ".join(expected), remedy) from None
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(str(path), f"not readable as YAML: {reason}", "valid YAML in UTF-8", remedy) from error


def _explain(fault: Any) -> tuple[str, str]:
    """What was found and what was expected."""
    key = ".".join(map(str, fault["loc"]))
    if key:
        return f"{key} is {fault['input']!r}", f"{key}: {fault['msg']}"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"]), "values that fit together"
    found = "is empty" if fault["input"] is None else "holds no keys"
    return found, f"the keys {', '.join(SceneSettings.model_fields)}"


def compose(
    recipe_path: Path, seed: int, image_size: int, images_folder: Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Compose every scene of the recipe into `images_folder` and say which digits are in it.

    images_folder: None: no scene is drawn, and the rows are the same.
    Returns the rows (`id`, `path` relative to `images_folder`, `split`, `labels`, `ignore`) and the class names.
    A scene depends on the recipe, `seed`, `image_size`, its split and its place in the split alone. The folder is
    replaced as a whole once all scenes are written. InputError as `read_scene_settings`.
    """
    recipe = read_scene_settings(recipe_path)
    scenes = [
        (split, index, _classes(recipe, seed, split, index))
        for split, count in recipe.scenes.model_dump(by_alias=True).items()
        for index in range(count)
    ]
    if images_folder is not None:
        with replaced_folder(images_folder) as folder:
            _draw_scenes(scenes, seed, image_size, recipe, folder)
    rows: list[tuple[str, str, str, list[str], list[str]]] = [
        (f"{split}-{index:05d}", _path(split, index), split, [CLASSES[digit] for digit in sorted(digits)], [])
        for split, index, digits in scenes
    ]
    return pd.DataFrame(rows, columns=["id", "path", "split", "labels", "ignore"]), list(CLASSES)


def _path(split: str, index: int) -> str:
    return f"{split}/{index:05d}.png"


def _draw_scenes(
    scenes: list[tuple[str, int, list[int]]], seed: int, image_size: int, recipe: SceneSettings, folder: Path
) -> None:
    # scikit-learn takes a second to import; whoever draws nothing does without it.
    from sklearn.datasets import load_digits

    originals = load_digits()
    inks_N = originals.images / 16
    pools = split_originals(originals.target, recipe.held_out, seed)
    for split, index, digits in scenes:
        (folder / split).mkdir(exist_ok=True)
        pool = pools[split.partition("-")[0]]
        generator = numpy_generator(seed, "scene", split, index)
        inks = [inks_N[generator.choice(pool[digit])] for digit in digits]
        _draw_scene(inks, image_size, recipe, generator).save(folder / _path(split, index))


def split_originals(targets_N: np.ndarray, held_out: HeldOut, seed: int) -> dict[str, list[np.ndarray]]:
    """The originals of each class by the splits that use them: no original is in two of train, val and test."""
    pools: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for digit in range(10):
        originals = np.flatnonzero(targets_N == digit)
        originals = numpy_generator(seed, "originals", digit).permutation(originals)
        val, test = round(held_out.val * len(originals)), round(held_out.test * len(originals))
        for split, part in zip(("val", "test", "train"), np.split(originals, [val, val + test]), strict=True):
            pools[split].append(part)
    return pools


def _classes(recipe: SceneSettings, seed: int, split: str, index: int) -> list[int]:
    """The distinct digits of one scene."""
    group = index // 10 if split == BALANCED else index
    generator = numpy_generator(seed, "classes", split, group)
    count = 1 + int(generator.choice(len(recipe.digits), p=np.array(recipe.digits) / sum(recipe.digits)))
    if split == BALANCED:
        # Ten scenes share one order of the classes and start at different places in it: each class `count` times.
        order, offsets = generator.permutation(10), generator.permutation(10)[:count]
        return [int(digit) for digit in order[(index + offsets) % 10]]
    log_weights = -np.log(recipe.fall) * np.arange(10) / 9
    # The largest sums of log weight and Gumbel noise are a weighted draw without replacement.
    ranking = np.argsort(-(log_weights + generator.gumbel(size=10)))
    # The first ten scenes show one class each for certain, so that no class is missing from a split.
    first = [index] if index < 10 else []
    return [*first, *(int(digit) for digit in ranking if digit not in first)][:count]


def _draw_scene(
    inks: list[np.ndarray], side: int, recipe: SceneSettings, generator: np.random.Generator
) -> Image.Image:
    sizes = [max(4, int(size * side)) for size in generator.uniform(*recipe.size, size=len(inks))]
    background = _gradient(side, generator.uniform(*recipe.background, size=2), generator.uniform(0, 2 * np.pi))
    ink, brightness = np.zeros((2, side, side))
    for original, size, (left, top) in zip(
        inks, sizes, place_boxes(sizes, side, int(recipe.overlap * side), generator), strict=True
    ):
        box = (slice(top, top + size), slice(left, left + size))
        drawn = draw_digit(original, size, generator.uniform(-recipe.turn, recipe.turn))
        brightness[box] = np.where(drawn > ink[box], generator.uniform(*recipe.contrast), brightness[box])
        ink[box] = np.maximum(ink[box], drawn)
    strokes = _draw_strokes(side, int(generator.integers(*recipe.strokes, endpoint=True)), recipe.contrast, generator)
    scene = background + np.maximum(ink * brightness, strokes * (1 - _surroundings(ink)))
    scene += generator.normal(0, recipe.grain, (side, side))
    return Image.fromarray((scene.clip(0, 1) * 255).round().astype(np.uint8))


def draw_digit(original: np.ndarray, size: int, degrees: float) -> np.ndarray:
    """An original (8, 8) in [0, 1], rotated and enlarged to (size, size) in [0, 1]."""
    angle = np.radians(degrees)
    # The originals are higher than wide; this much of their plane is seen, so that no turned end is cut off.
    step = (8 * np.cos(angle) + 6 * abs(np.sin(angle))) / size
    padded = Image.fromarray(np.pad(original, 2).astype(np.float32))
    cosine, sine, half = np.cos(angle) * step, np.sin(angle) * step, size / 2
    affine = (cosine, -sine, 6 - (cosine - sine) * half, sine, cosine, 6 - (sine + cosine) * half)
    drawn = padded.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return np.asarray(drawn, dtype=np.float64).clip(0, 1)


def place_boxes(sizes: list[int], side: int, overlap: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Left and top of square boxes inside a square of `side`, any two of which share at most an edge of `overlap`.

    Each box is at most side / ceil(sqrt(number of boxes)) wide, so that a grid always has room for them.
    """
    for _ in range(20):
        corners: list[tuple[int, int]] = []
        for size in sizes:
            for left, top in generator.integers(0, side - size, size=(10, 2), endpoint=True):
                if all(
                    max(left - (x + other), x - (left + size), top - (y + other), y - (top + size)) >= -overlap
                    for (x, y), other in zip(corners, sizes, strict=False)
                ):
                    corners.append((int(left), int(top)))
                    break
            else:
                break
        if len(corners) == len(sizes):
            return corners
    # Too crowded for chance: each box anywhere in a cell of its own.
    cells = _cells(len(sizes))
    cell = side // cells
    places = generator.permutation(cells**2)[: len(sizes)]
    rooms = cell - np.array(sizes)[:, None]
    corners_N2 = np.stack(np.divmod(places, cells), axis=1) * cell + generator.integers(0, rooms + 1, (len(sizes), 2))
    return [(left, top) for left, top in corners_N2.tolist()]


def _cells(count: int) -> int:
    return int(np.ceil(np.sqrt(count)))


def _gradient(side: int, ends: np.ndarray, direction: float) -> np.ndarray:
    down, across = np.ogrid[-0.5 : 0.5 : side * 1j, -0.5 : 0.5 : side * 1j]
    share = (across * np.cos(direction) + down * np.sin(direction)) / np.sqrt(2) + 0.5
    return ends[0] + (ends[1] - ends[0]) * share


def _draw_strokes(side: int, count: int, contrast: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    """Straight strokes with soft edges, about as wide as the pen of the digits: brightness (side, side)."""
    x, y, angle, length, width, brightness = generator.uniform(
        [0, 0, 0, 0.1 * side, 0.02 * side, contrast[0]],
        [side, side, np.pi, 0.4 * side, 0.05 * side, contrast[1]],
        size=(count, 6),
    ).T[:, :, None, None]
    down, across = np.ogrid[:side, :side]
    along = (across - x) * np.cos(angle) + (down - y) * np.sin(angle)
    aside = (down - y) * np.cos(angle) - (across - x) * np.sin(angle)
    distance = np.hypot((abs(along) - length / 2).clip(0), aside)
    return np.max((width / 2 + 0.5 - distance).clip(0, 1) * brightness, axis=0, initial=0)


def _surroundings(ink: np.ndarray) -> np.ndarray:
    """1 on and right beside the digits, 0 elsewhere: there a stroke could change how a digit reads."""
    reach = 2 * round(len(ink) / 24) + 1
    picture = Image.fromarray((ink * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(reach))
    return (np.asarray(picture) / 64).clip(0, 1)
