// A probe is one script in a guest and what it found. It observes; judge.ts compares.

export interface Probe {
  readonly name: string;
  readonly description: string;
  /** POSIX sh. Its standard output is what was found. */
  readonly script: string;
}

/** One script for a whole round, since each way down costs more than any probe: prints a line `NAME BASE64` for each. */
export function roundScript(probes: readonly Probe[]): string {
  return [
    'put() { printf "%s " "$1"; base64 -w0; echo; }',
    ...probes.map((probe) => `(\n${probe.script}\n) 2>/dev/null | put ${probe.name}`),
  ].join('\n');
}

/** What each probe of a round printed; one that printed nothing that can be read is missing. Never throws. */
export function readRound(stdout: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const match = /^([a-z-]+) ([A-Za-z0-9+/]*={0,2})$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) {
      found.set(match[1], Buffer.from(match[2], 'base64').toString('utf8'));
    }
  }
  return found;
}
