"""What may stand in focusrail.yaml. Every key has a default, and an empty file is the simulated rig.

Relative paths are relative to the folder of the configuration file (without one, to the current folder); `~` is the
home of the user focusrail runs as.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

from focusrail.errors import InvalidValue
from focusrail.model.acceleration import Acceleration
from focusrail.model.method import Method
from focusrail.model.outputs import Outputs
from focusrail_drivers import registry
from focusrail_drivers.base import DriverError, Travel

FOLDER_FIELDS = ("name", "specimen_id", "shoot_id", "date")
_LONGEST_FIELD_BYTES = 60  # of name and of specimen ID in a folder's name, whose limit is 255 bytes with all the rest


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """`path` with `~` expanded, seen from the configuration file's folder."""
    if "\0" in str(path):
        raise ValueError("a path cannot contain a NUL character")
    folder = (info.context or {}).get("folder", Path())
    try:
        return Path(folder / path.expanduser()).absolute()
    except RuntimeError as error:  # no such user, or no home folder
        raise ValueError(f"the home folder in {path} is not known; write the path without ~") from error


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Settings = Annotated[Mapping[str, str], BeforeValidator(_nothing_is_empty)]


def options_type(kind: str, driver: str) -> type[Any]:
    """The class of a driver's options; `kind` is rails, cameras, accelerators or buttons. Raises DriverError."""
    found = getattr(registry.load(kind, driver), "Options", None)
    if not isinstance(found, type):
        raise DriverError(f"driver {driver!r} declares no Options; it was not made for this version of focusrail")
    return found


def _existing_driver(kind: str, driver: str) -> str:
    try:
        options_type(kind, driver)
    except DriverError as error:
        raise ValueError(str(error)) from error
    return driver


def _driver_options(kind: str, value: object, info: ValidationInfo) -> object:
    """The driver's own options dataclass, made from the mapping in the file."""
    if "driver" not in info.data:  # has been reported already
        return value
    given = _nothing_is_empty(value)
    if info.data["driver"] is None:
        if given != {}:
            raise ValueError("belong to a driver, and none is named")
        return given
    options: Any = TypeAdapter(options_type(kind, info.data["driver"])).validate_python(given)
    for field in fields(options):
        told = getattr(options, field.name)
        if isinstance(told, Path) and isinstance(given, Mapping) and field.name in given:
            options = replace(options, **{field.name: _absolute(told, info)})
    return options


class Section(BaseModel):
    """What all sections have in common: frozen, no unknown keys, no NaN; defaults are checked like anything else."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class TravelConfig(Section):
    """The soft limits of the carriage, in mm from home, both included."""

    min: float
    max: float

    @model_validator(mode="after")
    def _not_empty(self) -> TravelConfig:
        if not self.min < self.max:
            raise InvalidValue("max", f"must be above min ({self.min:g} mm), not {self.max:g}")
        return self


class DeviceConfig(Section):
    """A device: its driver and the driver's own options. Its section may be the driver's name alone."""

    kind: ClassVar[str]  # of the driver: rails, cameras, accelerators or buttons

    driver: str
    options: Any = Field(default_factory=dict)  # the driver's own `Options`, ready-made

    @model_validator(mode="before")
    @classmethod
    def _may_be_the_drivers_name(cls, data: object) -> object:
        return {"driver": data} if isinstance(data, str) else data

    @field_validator("driver")
    @classmethod
    def _driver_exists(cls, value: str | None) -> str | None:
        return None if value is None else _existing_driver(cls.kind, value)

    @field_validator("options")
    @classmethod
    def _options_fit_the_driver(cls, value: object, info: ValidationInfo) -> object:
        return _driver_options(cls.kind, value, info)


class RailConfig(DeviceConfig):
    """The rail: which driver, and what holds above every driver."""

    kind: ClassVar[str] = "rails"
    driver: str = "simulated"
    travel_mm: TravelConfig | None = None  # None: all that the driver's mechanics reach; it can only be narrowed
    backlash_mm: float = Field(default=0.1, ge=0)  # overrun before an approach; more than the rail has costs only time
    approach: Literal["forward", "backward"] = "forward"  # travel into every frame; forward: away from home
    settle_s: float = Field(default=0.3, ge=0)  # wait between standing and exposing
    far_is: Literal["high", "low"] = "high"  # at which end of the travel what is far from the camera is in focus
    home: Literal["if_unknown", "never"] = "if_unknown"  # if_unknown: a shoot may start by moving to the home switch

    @property
    def travel(self) -> Travel | None:
        """The soft limits as the drivers have them; None: the driver's own."""
        return Travel(self.travel_mm.min, self.travel_mm.max) if self.travel_mm else None


class CameraConfig(DeviceConfig):
    """The camera: which driver, how it is set, and the scale of its pictures."""

    kind: ClassVar[str] = "cameras"
    driver: str = "simulated"
    settings: Settings = Field(default_factory=dict)  # by the camera's own names; the values as they are written
    um_per_px: float | None = Field(default=None, gt=0)  # micrometres of the subject that one pixel sees; None: unknown


class AcceleratorConfig(DeviceConfig):
    """What measures focus: which driver, and whether the processor may take over from it."""

    kind: ClassVar[str] = "accelerators"
    driver: str = "cpu"
    fallback: Literal["cpu", "never"] = "cpu"  # never: what cannot be accelerated is refused, and a loss ends the stack

    def told(self) -> Acceleration:
        """The same for the stacking process."""
        options: Any = TypeAdapter(type(self.options)).dump_python(self.options, mode="json")
        return Acceleration(self.driver, options, may_fall_back=self.fallback == "cpu")


class ButtonConfig(DeviceConfig):
    """The capture button: which driver, if there is one, and what holds above every driver."""

    kind: ClassVar[str] = "buttons"
    driver: str | None = None  # type: ignore[assignment]  # None: there is no button
    recipe: str | None = None  # the saved recipe that it shoots; None: what was shot last, once more
    long_press_s: float = Field(default=1.5, ge=0.5, le=10)  # held for so long it aborts
    debounce_s: float = Field(default=0.02, ge=0, le=0.2)  # as long the contact must rest to count


class KeepConfig(Section):
    """How long, or how many, originals of published shoots are kept; of nothing that is said, all."""

    days: float | None = Field(default=None, gt=0)  # since the newest version was published
    gb: float | None = Field(default=None, gt=0)  # of all originals, 10^9 bytes each

    @property
    def limited(self) -> bool:
        """Whether any are let go at all."""
        return self.days is not None or self.gb is not None


class StoreConfig(Section):
    """Where originals and results live."""

    root: AbsolutePath = Path("~/focusrail")
    spool: AbsolutePath | None = None
    outbound: AbsolutePath | None = None
    folder_template: str = "{specimen_id}-{name}-{shoot_id}"
    keep: KeepConfig = Field(default_factory=KeepConfig)

    @field_validator("keep", mode="before")
    @classmethod
    def _empty_is_default(cls, value: object) -> object:
        return _nothing_is_empty(value)

    @field_validator("folder_template")
    @classmethod
    def _usable_as_a_folder(cls, value: str) -> str:
        _check_template(value)
        return value

    @property
    def spool_folder(self) -> Path:
        """Where the originals are kept."""
        return self.spool or self.root / "spool"

    @property
    def outbound_folder(self) -> Path:
        """Where the finished results appear."""
        return self.outbound or self.root / "outbound"

    @property
    def socket(self) -> Path:
        """Where the command line reaches the service."""
        return self.root / "focusrail.sock"

    @property
    def token_file(self) -> Path:
        """The token that browsers must know."""
        return self.root / "token"

    @property
    def journal_file(self) -> Path:
        """The journal's database."""
        return self.root / "journal.sqlite"

    def folder_name(self, *, shoot_id: str, name: str, specimen_id: str | None, created_at: datetime) -> str:
        """The name of a shoot's folder in outbound, from the template.

        Without a specimen, its place and the separator after it are left out. The date is in UTC. Long names are cut.
        """
        template = self.folder_template
        if specimen_id is None:
            template = re.sub(r"\{specimen_id\}[-_. ]*", "", template)
        filled = template.format(
            name=_cut(name),
            specimen_id=_cut(specimen_id or ""),
            shoot_id=shoot_id,
            date=created_at.astimezone(timezone.utc).strftime("%Y-%m-%d"),
        )
        return filled.lstrip(". ").rstrip("-_. ")  # a leading dot would hide it


class StackingConfig(Section):
    """How frames are fused, and what the stacking process may use."""

    method: Method = Field(default_factory=Method)  # a recipe's own method goes before it
    threads: int | None = Field(default=None, ge=1, le=1024)  # None: one a core. Pixels never depend on it
    memory_limit_mb: int | None = Field(default=None, ge=256)  # data of the stacking process; None: no limit
    in_flight_mb: int = Field(default=512, ge=1)  # originals handed over and not yet fused; when full the shutter waits
    preview_every: int = Field(default=5, ge=0)  # frames from one live composite to the next; 0: none

    @field_validator("method", mode="before")
    @classmethod
    def _empty_is_default(cls, value: object) -> object:
        return _nothing_is_empty(value)


class InboundConfig(Section):
    """The folder into which photographs are dropped to be stacked."""

    folder: AbsolutePath | None = None  # None: there is none
    quiet_s: float = Field(default=10.0, gt=0)  # as long as nothing changes in a folder that is complete
    marker: str | None = Field(
        default=None, pattern=r"^[^/\x00]{1,200}$"
    )  # the file that makes a folder complete instead


class ServiceConfig(Section):
    """How `focusrail serve` is reached, and what it does by itself."""

    listen: str = Field(default="127.0.0.1:8260", pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}$")
    hosts: tuple[str, ...] = ()  # more names by which browsers reach it, without port
    socket: AbsolutePath | None = None
    resume: bool = True  # at start, go on with a shoot that something has ended; the carriage moves
    inbound: InboundConfig = Field(default_factory=InboundConfig)

    @field_validator("inbound", mode="before")
    @classmethod
    def _empty_is_default(cls, value: object) -> object:
        return _nothing_is_empty(value)

    @field_validator("listen")
    @classmethod
    def _is_a_port(cls, value: str) -> str:
        if int(value.rpartition(":")[2]) > 65535:
            raise ValueError("a port is a number up to 65535")
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class LogConfig(Section):
    """What is logged and how. auto: for people on a terminal, JSON lines elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Config(Section):
    """All of focusrail.yaml. `Config()` is the simulated rig."""

    rail: RailConfig = Field(default_factory=RailConfig)
    camera: CameraConfig = Field(default_factory=CameraConfig)
    accelerator: AcceleratorConfig = Field(default_factory=AcceleratorConfig)
    button: ButtonConfig = Field(default_factory=ButtonConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    stacking: StackingConfig = Field(default_factory=StackingConfig)
    outputs: Outputs = Field(default_factory=Outputs)  # a recipe's own outputs go before it
    service: ServiceConfig = Field(default_factory=ServiceConfig)
    log: LogConfig = Field(default_factory=LogConfig)

    @property
    def service_socket(self) -> Path:
        """Where the command line reaches the service."""
        return self.service.socket or self.store.socket

    @model_validator(mode="after")
    def _results_are_not_stacked_again(self) -> Config:
        if self.service.inbound.folder is None:
            return self
        inbound = _real(self.service.inbound.folder)
        for name in ("spool", "outbound"):
            folder = _real(getattr(self.store, f"{name}_folder"))
            if inbound in (folder, *folder.parents) or folder in inbound.parents:
                raise ValueError(
                    f"service.inbound.folder, {inbound}, and store.{name}, {folder}, lie in each other: "
                    "what is published would be stacked again"
                )
        return self

    @model_validator(mode="before")
    @classmethod
    def _every_section_is_there(cls, data: object) -> object:
        """A section that is missing, or whose keys are all commented out, has its defaults, checked in their place."""
        if not isinstance(data, Mapping):
            return data
        return {**data, **{name: {} for name in cls.model_fields if data.get(name) is None}}


def _check_template(template: str) -> None:
    """Refuse what cannot become the name of one folder of its own. Raises ValueError."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"is no template ({error}); write {{{{ for a brace") from error
    used = [name for _, name, _, _ in parts if name is not None]
    literal = "".join(text for text, _, _, _ in parts)
    known = ", ".join(f"{{{name}}}" for name in FOLDER_FIELDS)
    for _, name, form, conversion in parts:
        if name is not None and (name not in FOLDER_FIELDS or form or conversion):
            raise ValueError(f"knows only {known}, as they stand, not {name!r} with more or other in its braces")
    if len(set(used)) < len(used):
        raise ValueError("each field can stand in it only once")
    if "shoot_id" not in used:
        raise ValueError("must contain {shoot_id}, so that no two shoots share a folder")
    if re.search(r"[/\\\x00-\x1f]", literal):
        raise ValueError("must not contain / or \\ or control characters: it names one folder")
    if len(literal.encode("utf-8", "replace")) > 40:
        raise ValueError("must not have more than 40 bytes besides its fields")


def _real(path: Path) -> Path:
    """Where a path leads, wherever links in it go."""
    return Path(os.path.realpath(path))  # unlike Path.resolve it has no objections


def _cut(text: str) -> str:
    """`text` cut to what a folder's name has room for, between characters."""
    return text.encode("utf-8", "replace")[:_LONGEST_FIELD_BYTES].decode("utf-8", "ignore")
