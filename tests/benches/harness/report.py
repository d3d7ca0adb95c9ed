"""Tables of what was measured."""

import statistics

REFERENCE = "nginx"


def markdown(document):
    return "\n".join([*heading(document), "", *summary(document), "", *details(document)]) + "\n"


def short(document):
    """For the README."""
    return "\n".join(["![Cost relative to nginx](tests/benches/results.svg)", "", *summary(document), "",
                      *heading(document)]) + "\n"


def heading(document):
    machine = document["machine"]
    yield (f"{machine['date']}; {machine['cores']} × {machine['cpu']}, {machine['memory_gib']} GiB, "
           f"Linux {machine['kernel']}; {document['rounds']} interleaved rounds, 2 workers each, access log off.")
    yield ""
    for server, version in document["versions"].items():
        yield f"- {server}: {version}"
    for failure in document["failed"]:
        yield f"- not measured: {failure.splitlines()[0]}"


# --- everything in one table ---


def summary(document):
    """CPU µs per operation with the ratio to Debian's nginx in the same rounds; smaller is better."""
    servers = list(document["versions"])
    yield f"| | workload | {' | '.join(servers)} |"
    yield "|---|---|" + "---:|" * len(servers)
    for name, workload in document["workloads"].items():
        cells = [cell(name, workload["servers"], server) for server in servers]
        yield f"| {name} | {workload['title']}, {FIGURES.get(name, CPU).unit} | {' | '.join(cells)} |"


def cell(name, measured, server):
    if not measured.get(server):
        return "–"
    figure = FIGURES.get(name, CPU)
    own = figure.values(measured[server])
    text = figure.format(statistics.median(own))
    if server == REFERENCE or not measured.get(REFERENCE):
        return text
    return f"{text} ({paired(own, figure.values(measured[REFERENCE])):.2f})"


class Figure:
    """What a workload is judged by."""

    def __init__(self, field, unit, scale, digits):
        self.field, self.unit, self.scale, self.digits = field, unit, scale, digits

    def values(self, samples):
        return [sample[self.field] * self.scale for sample in samples]

    def format(self, value):
        digits = self.digits if value < 100 else 0
        return f"{value:,.{digits}f}"


CPU = Figure("server_cpu_us", "CPU µs", 1, 1)
FIGURES = {
    "W10": Figure("after_handshake", "KiB", 1 / 1024, 1),
    "W11": Figure("cpu_seconds", "CPU s", 1, 2),
    "W12": Figure("p99_us", "p99 ms", 1 / 1000, 2),
}


def paired(ours, theirs):
    """The median of the ratios within a round: what slows a round down slows both."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs))


def spread(ours, theirs):
    ratios = [mine / other for mine, other in zip(ours, theirs)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


# --- one table for each workload ---


def details(document):
    for name, workload in document["workloads"].items():
        yield f"**{name}: {workload['title']}**"
        yield ""
        yield from {"W10": idle_table, "W11": start_table}.get(name, rounds_table)(workload)
        yield ""


def rounds_table(workload):
    servers = workload["servers"]
    peers = [server for server in ("bare", REFERENCE, "haproxy") if server in servers]
    yield (f"| server | CPU µs per {workload['unit']}, median (min–max) | "
           + "".join(f"÷ {peer}, median (min–max) | " for peer in peers)
           + "p50 ms | p99 ms | client's CPU µs | busiest thread | tickets | connections to the target |")
    yield "|---|---|" + "---|" * (len(peers) + 6)
    for server, samples in servers.items():
        cpu = CPU.values(samples)
        ratios = "".join(f"{spread(cpu, CPU.values(servers[peer]))} | " for peer in peers)
        yield (f"| {server} | {statistics.median(cpu):.1f} ({min(cpu):.1f}–{max(cpu):.1f}) | {ratios}"
               f"{median(samples, 'p50_us', 1e-3, 2)} | {median(samples, 'p99_us', 1e-3, 2)} | "
               f"{median(samples, 'client_cpu_us', 1, 1)} | {median(samples, 'server_busy', 100, 0)} % | "
               f"{median(samples, 'tickets', 1, 1)} | {median(samples, 'upstream', 1, 0)} |")
    yield from ("", *limits(servers)) if limits(servers) else ()
    yield from ("", *system_calls(servers))


def system_calls(servers):
    for server, samples in servers.items():
        last = samples[-1]
        if last["system_calls"] is not None:
            yield (f"- {server}: {last['system_calls']:.1f} system calls each, "
                   f"{last['futex_calls'] * 1000:.1f} of futex(2) in 1,000")


def limits(servers):
    """The servers that had time to spare while the client had none: their figures are those of idling servers."""
    spare = [server for server, samples in servers.items()
             if statistics.median(sample["server_busy"] for sample in samples) < IDLING
             and statistics.median(sample["client_busy"] for sample in samples) > BUSY]
    return [f"The client was the limit of {', '.join(spare)}."] if spare else []


def idle_table(workload):
    yield "| server | KiB after the handshake | KiB at rest after requests |"
    yield "|---|---|---|"
    for server, [held] in workload["servers"].items():
        yield f"| {server} | {held['after_handshake'] / 1024:.1f} | {held['after_requests'] / 1024:.1f} |"


def start_table(workload):
    yield "| server | CPU s | wall-clock s | memory MiB | KiB each |"
    yield "|---|---|---|---|---|"
    for server, [start] in workload["servers"].items():
        yield (f"| {server} | {start['cpu_seconds']:.2f} | {start['wall_seconds']:.2f} | "
               f"{start['memory_bytes'] / 2**20:.0f} | {start['bytes_each'] / 1024:.1f} |")


def median(samples, field, scale, digits):
    values = [sample[field] for sample in samples if sample[field] is not None]
    return f"{statistics.median(values) * scale:.{digits}f}" if values else "–"


# The same bounds as those of `sealgate bench`.
IDLING, BUSY = 0.75, 0.9
