// A run: one host under test, its cases side by side, and everything taken down again.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { type ChosenHost, openHost } from '../host/choose.ts';
import type { HostUnderTest } from '../host/host.ts';
import type { Image } from '../image/cache.ts';
import type { HostReport } from '../report/report.ts';
import type { Case } from '../scenario/plan.ts';
import { type CaseContext, type Deadlines, runCase } from './case.ts';
import type { RunClock } from './clock.ts';
import { evidenceIn } from './evidence.ts';
import type { RunLease } from './lease.ts';
import { kvmOf, look } from './look.ts';

export interface RunInput {
  readonly cases: readonly Case[];
  readonly chosen: ChosenHost;
  readonly image: Image;
  readonly jobs: number;
  readonly keep: boolean;
  /** Run folder; it exists. */
  readonly folder: string;
  readonly lease: RunLease;
  readonly environment: Environment;
  readonly clock: RunClock;
}

/** Seconds, by how fast the host is. Under TCG a level takes about three times as long as the one above it. */
const DEADLINES: Record<HostUnderTest['kind'], Deadlines> = {
  local: { boot: (level) => 120 * level, probe: (level) => 120 * level, case: 1200 },
  emulated: { boot: underTcg, probe: underTcg, case: 2400 },
};
function underTcg(level: number): number {
  return Math.min(120 * 2 ** (level - 1), 300);
}
const EMULATED_BOOT_SECONDS = 120;

/**
 * Runs the cases and emits what happens; says whether all of them came to their end.
 * Throws only what keeps the whole run from starting.
 */
export async function runCases(input: RunInput): Promise<boolean> {
  const { clock, chosen, environment } = input;
  const { signal } = environment;
  const hostFolder = join(input.folder, 'host');
  await mkdir(hostFolder, { recursive: true, mode: 0o700 });
  const largest = Math.max(...input.cases.map((each) => each.levels[0]?.memoryMiB ?? 0));
  const needs = { guestsMiB: largest * input.jobs, vcpus: input.jobs };

  const host = await clock.stage(null, 0, 'host', () =>
    openHost(
      chosen,
      needs,
      { image: input.image, environment, folder: hostFolder, bootSeconds: EMULATED_BOOT_SECONDS },
      signal,
    ),
  );
  let problem: NestedCheckError | null = null;
  let complete = false;
  try {
    const deadlines = DEADLINES[host.kind];
    const described = clock.stage(null, 0, 'probe', () => describeHost(host, deadlines.probe(1), hostFolder, signal));
    const hostFacts = described.then(
      (report) => {
        clock.emit({ kind: 'host-ready', at: clock.now(), host: report });
        return report.facts;
      },
      (error: unknown) => {
        problem =
          error instanceof NestedCheckError ? error : new NestedCheckError('host', `L0: ${error}`, { cause: error });
        return null;
      },
    );
    const context: CaseContext = {
      clock,
      evidence: evidenceIn(input.folder),
      lease: input.lease,
      host,
      hostFacts,
      deadlines,
      keep: input.keep,
      isLast: (each) => each === input.cases.at(-1),
    };
    await inTurn(input.cases, input.jobs, async (each) => {
      if (!signal.aborted) await runCase(each, context, signal);
    });
    await hostFacts;
    complete = !signal.aborted;
    if (input.keep) await keepUntilInterrupted(host, input, signal);
  } finally {
    await clock.stage(null, 0, 'teardown', async () => host[Symbol.asyncDispose]());
  }
  if (problem !== null && complete) throw problem;
  return complete;
}

/** Does the work for each item, at most `jobs` at once, in order of the list. */
async function inTurn<T>(items: readonly T[], jobs: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: jobs }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}

async function describeHost(
  host: HostUnderTest,
  seconds: number,
  folder: string,
  signal: AbortSignal,
): Promise<HostReport> {
  const seen = await look(host, true, seconds, signal);
  if (seen.dmesg !== null) await writeFile(join(folder, 'dmesg.txt'), seen.dmesg, { mode: 0o600 });
  return { kind: host.kind, reason: host.reason, facts: seen.facts, ...seen.versions, kvm: kvmOf(seen) };
}

/** --keep: says how to reach the guests, and waits for Ctrl-C where they would end with us. */
async function keepUntilInterrupted(
  host: HostUnderTest,
  { clock, chosen, lease }: RunInput,
  signal: AbortSignal,
): Promise<void> {
  if (chosen.kind === 'local') {
    const text = `guests are left up: virsh -c ${host.libvirtUri} list | grep nested-check-${lease.run}; nested-check clean removes them when you are done`;
    clock.emit({ kind: 'note', at: clock.now(), text });
    return;
  }
  clock.emit({
    kind: 'note',
    at: clock.now(),
    text: `guests are left up in the emulated host until Ctrl-C; its console: ${lease.folder}/host/console.log`,
  });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
