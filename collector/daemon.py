"""The daemon: the parts wired together, started, reloaded and stopped in order."""

import gc
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import gevent
from gevent.event import Event
from gevent.lock import RLock
from gevent.threadpool import ThreadPool
from prometheus_client import CollectorRegistry

from collector import custom, exposition, gather, memory
from collector.config import Config, Login, load
from collector.errors import ConfigError
from collector.polling import Polling
from collector.schedule import Schedule
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.systemd import Notifier
from collector.telemetry import FleetCollector, JumpCollector, KnownHostsCollector, Telemetry
from collector.web import Protection, Site, bind, serve

log = logging.getLogger(__name__)

STUCK = 10.0
"""Seconds by which a due moment may be late before the watchdog is no longer told that all is well."""

STATUS_EVERY = 10.0


def read(
    path: Path, identities: Identities | None = None, known_hosts_needed: bool = True
) -> tuple[Config, Identities]:
    """Load the configuration and the keys that it names, but for those that `identities` has already.

    Raises:
        ConfigError
    """
    identities = identities or Identities()
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    config = load(
        path,
        gatherers={name: gatherer.labels for name, gatherer in gather.GATHERERS.items()},
        sets=gather.SETS,
        reserved_labels=exposition.OWN_LABELS,
        credentials=Path(credentials) if credentials else None,
        identity_problem=identities.problem,
        custom_problem=custom.problem,
        known_hosts_needed=known_hosts_needed,
    )
    return config, identities


def _try_to_read(path: Path, identities: Identities) -> tuple[Config, Identities] | ConfigError:
    """Read a configuration in a thread; gevent would print what is raised there."""
    try:
        return read(path, identities)
    except ConfigError as error:
        return error


class Daemon:
    """Everything that runs, from `start` to `stop`."""

    def __init__(self, path: Path, notifier: Notifier) -> None:
        self._path = path
        self._notifier = notifier
        self._config, identities = read(path)
        self._protection = Protection(self._config.web_config)
        self._telemetry = Telemetry(CollectorRegistry())
        self._connector = Connector(identities, self._config.logins, self._config.jump_logins)
        self._schedule = Schedule(self._jumped)
        self._polling = Polling(self._schedule, self._connector, self._telemetry.swept, self._telemetry.missed.inc)
        self._telemetry.registry.register(FleetCollector(self._polling))
        self._telemetry.registry.register(KnownHostsCollector(self._connector.host_keys))
        self._telemetry.registry.register(JumpCollector(self._connector))
        self._reloading = RLock()
        self._thread = ThreadPool(1)
        self._vital: list[gevent.Greenlet[..., None]] = []
        self._was_complete = False
        self.broken = Event()

    def start(self) -> None:
        """Bind the port, poll, serve, say ready. Raises OSError."""
        host, port = self._config.listen
        listener = bind(host, port)
        reload = self.reload if self._config.web_reload else None
        site = Site(self._polling.fleet, self._page, self._is_ready, reload, own=self._own_page, ask=self._polling.ask)
        self._server = serve(listener, site, protection=self._protection)
        self._telemetry.loaded(True)
        self._connector.host_keys.use(logins(self._config))
        self._connector.host_keys.refresh()
        if self._config.web_config:
            self._telemetry.watch_web_config(lambda: self._protection.readable)
        self._polling.apply(self._config)
        # Whoever connects waits until now: without machines /sd would take Prometheus' targets away.
        self._server.start()
        watches = self._telemetry.measure_lag, self._connector.host_keys.watch, self._watch, memory.tidy
        for greenlet in [*self._schedule.start(), *map(gevent.spawn, watches)]:
            greenlet.link(lambda _: self.broken.set())
            self._vital.append(greenlet)
        host, port = listener.getsockname()[:2]
        log.info(
            "serving %s://%s:%d/ from %d machines",
            "https" if self._protection.now().context else "http",
            f"[{host}]" if ":" in host else host,
            port,
            len(self._polling.fleet),
        )
        self._notifier.ready(self._status())

    def reload(self) -> list[str]:
        """Read the configuration anew, and put it to work if it is good; return what is wrong with it."""
        with self._reloading:
            self._notifier.reloading()
            problems = self._reload()
            self._telemetry.loaded(not problems)
            for problem in problems:
                log.error("the configuration before stays in force: %s", problem)
            self._notifier.ready(self._status())
        return problems

    def _reload(self) -> list[str]:
        # In a thread: for 10,000 machines it takes a second, in which everything else goes on.
        found = self._thread.apply(_try_to_read, (self._path, Identities(self._connector.identities)))
        if isinstance(found, ConfigError):
            return found.problems
        config, identities = found
        for option in ("listen", "web_reload", "web_config"):
            if getattr(config, option) != getattr(self._config, option):
                log.warning("%s has changed: that takes effect with a restart", option)
        self._connector.identities = identities
        self._connector.resize(config.logins, config.jump_logins)
        self._connector.host_keys.use(logins(config))
        self._polling.apply(config)
        self._telemetry.forget_intervals(but=self._polling.intervals)
        self._config = config
        log.info("the configuration is loaded: %d machines", len(config.machines))
        return []

    def stop(self) -> None:
        """Serve and poll no more, and hang up everywhere."""
        self._notifier.stopping()
        for greenlet in self._vital:
            greenlet.unlink_all()
        self._server.stop(timeout=1)
        self._schedule.stop()
        self._polling.stop()
        gevent.killall(self._vital)
        self._notifier.close()

    def _page(self, openmetrics: bool) -> Iterator[bytes]:
        return exposition.page(self._polling.fleet, self._telemetry.registry, openmetrics)

    def _own_page(self, openmetrics: bool) -> Iterator[bytes]:
        yield exposition.of_daemon(self._telemetry.registry, openmetrics)

    def _is_ready(self) -> bool:
        self._was_complete = self._was_complete or self._polling.fleet.complete
        return self._was_complete

    def _jumped(self, seconds: float) -> None:
        self._telemetry.clock_jumps.inc()
        log.warning("the wall clock was stepped", extra={"seconds": f"{seconds:+.3f}"})

    def _status(self) -> str:
        fleet = self._polling.fleet
        return f"{fleet.up}/{len(fleet)} machines up"

    def _watch(self) -> None:
        """Tell the service manager that all is well, for as long as every due moment is handed out in time."""
        every = min(self._notifier.watchdog_interval or STATUS_EVERY, STATUS_EVERY)
        while True:
            self._notifier.status(self._status())
            if self._polling.overdue() < STUCK:
                self._notifier.watchdog()
            gevent.sleep(every)


def logins(config: Config) -> Iterator[Login]:
    """Yield every host that is logged in to, jump hosts included."""
    for machine in config.machines:
        yield from (*machine.jumps, machine)


def run(path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT, reload at SIGHUP; return the exit code. Raises ConfigError, OSError."""
    memory.set_up()
    daemon = Daemon(path, Notifier())
    woken, wanted = Event(), {"stop": False, "reload": False}

    def want(what: str) -> None:
        wanted[what] = True
        woken.set()

    for number, what in ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")):
        gevent.signal_handler(number, want, what)
    daemon.broken.rawlink(lambda _: woken.set())
    daemon.start()
    gc.freeze()
    return attend(daemon, woken, wanted)


def attend(daemon: Daemon, woken: Event, wanted: dict[str, bool]) -> int:
    """Do what signals want, in the main greenlet and one at a time, until they want an end; return the exit code."""
    while not wanted["stop"] and not daemon.broken.is_set():
        woken.wait()
        woken.clear()
        if wanted["reload"] and not wanted["stop"]:
            wanted["reload"] = False
            daemon.reload()
    daemon.stop()
    if daemon.broken.is_set():
        log.critical("a part that must run for ever has ended")
        return 1
    return 0
