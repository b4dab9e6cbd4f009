"""Our instruments as Prometheus reads them. The only file that imports prometheus-client, loaded only where an address is given."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from recharge.instruments import INSTRUMENTS
from recharge.telemetry import Instrument, Kind, Of, Reading

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Exposition:
    """What this process has counted, and what its parts say when it is asked for. It is a `telemetry.Meters`.

    `of` names whose instruments are shown; `read` returns the readings of all gauges at this moment.
    """

    def __init__(self, of: frozenset[Of], read: Callable[[], Iterable[Reading]]) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        shown = [each for each in INSTRUMENTS if each.of in of]
        for each in shown:
            self._register(each)
        self._registry.register(_Gauges([each for each in shown if each.kind is Kind.GAUGE], read))
        ProcessCollector(registry=self._registry)

    def _register(self, each: Instrument) -> None:
        match each.kind:
            case Kind.COUNTER:
                counter = Counter(each.name, each.help, each.labels, registry=self._registry)
                self._counters[each.name] = counter
                _begin(counter, each)
            case Kind.HISTOGRAM:
                histogram = Histogram(each.name, each.help, each.labels, buckets=each.buckets, registry=self._registry)
                self._histograms[each.name] = histogram
                _begin(histogram, each)
            case Kind.GAUGE:
                pass

    def count(self, instrument: Instrument, labels: Sequence[str]) -> None:
        """One more, where this process shows the instrument."""
        if (counter := self._counters.get(instrument.name)) is not None:
            (counter.labels(*labels) if labels else counter).inc()

    def observe(self, instrument: Instrument, value: float, labels: Sequence[str]) -> None:
        """One value, where this process shows the instrument."""
        if (histogram := self._histograms.get(instrument.name)) is not None:
            (histogram.labels(*labels) if labels else histogram).observe(value)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


def _begin(metric: Counter | Histogram, each: Instrument) -> None:
    """Have it shown from now on with each value of its label, as 0."""
    for value in each.values:
        metric.labels(value)


class _Gauges(Collector):
    """The gauges, read anew each time."""

    def __init__(self, shown: Sequence[Instrument], read: Callable[[], Iterable[Reading]]) -> None:
        self._shown = shown
        self._read = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The gauges without values: the registry asks for them before there is anything to read."""
        return iter([GaugeMetricFamily(each.name, each.help, labels=each.labels) for each in self._shown])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as they are now."""
        families = {each.name: each for each in self.describe()}
        for reading in self._read():
            families[reading.instrument.name].add_metric(reading.labels, reading.value)
        return iter(families.values())
