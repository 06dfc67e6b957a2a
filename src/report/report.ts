// The report of a run, format nested-check.run/1: what every output and the exit status are made from.
import { z } from 'zod';
import { Facts } from '../cpu/facts.ts';

export const Verdict = z.enum(['pass', 'fail', 'skip', 'error']);
export type Verdict = z.infer<typeof Verdict>;

const ProbeResult = z.object({
  name: z.string(),
  verdict: Verdict,
  /** What should be; null where nothing was expected and the probe only observed. */
  expected: z.string().nullable(),
  observed: z.string().nullable(),
  hint: z.string().nullable(),
});
export type ProbeResult = z.infer<typeof ProbeResult>;

const Versions = z.object({
  kernel: z.string().nullable(),
  qemu: z.string().nullable(),
  libvirt: z.string().nullable(),
});
export type Versions = z.infer<typeof Versions>;

const Kvm = z.object({
  usable: z.boolean(),
  module: z.string().nullable(),
  parameters: z.record(z.string(), z.string()),
});

const Level = z.object({
  level: z.int(),
  /** What QEMU itself said it runs with; null when it could not be asked. */
  accelerator: z.enum(['kvm', 'tcg']).nullable(),
  machine: z.string().nullable(),
  vcpus: z.int(),
  memoryMiB: z.int(),
  /** From starting the guest to its agent answering. */
  bootMs: z.int(),
  cpu: z.object({
    /** The CPU as the scenario asked for it. */
    requested: z.record(z.string(), z.unknown()),
    /** The <cpu> element of the live domain XML; null when there is none. */
    liveXml: z.string().nullable(),
    /** QEMU's -cpu argument. */
    qemuCpu: z.string().nullable(),
  }),
  facts: Facts.nullable(),
  kvm: Kvm.nullable(),
  versions: Versions,
  probes: z.array(ProbeResult),
});
export type LevelReport = z.infer<typeof Level>;

const Problem = z.object({ code: z.string(), message: z.string(), hint: z.string().nullable() });
export type Problem = z.infer<typeof Problem>;

/** Where a case that may go deeper ended, and why. */
const Stopped = z.object({
  level: z.int(),
  /** refused: libvirt or QEMU would not start it; died: it ended; hung: silent until the deadline, its vCPU standing still; slow: still working then; unable: we could not try. */
  why: z.enum(['refused', 'died', 'hung', 'slow', 'unable']),
  message: z.string(),
});
export type Stopped = z.infer<typeof Stopped>;

/** A stretch of time in a case, in ms since the run began. */
const Span = z.object({ level: z.int(), stage: z.string(), startMs: z.int(), endMs: z.int() });
export type Span = z.infer<typeof Span>;

const CaseResult = z.object({
  id: z.string(),
  scenario: z.string(),
  variant: z.record(z.string(), z.string()),
  verdict: Verdict,
  attempts: z.int(),
  durationMs: z.int(),
  /** Deepest level that came up and was probed. */
  depth: z.int(),
  asked: z.object({ atLeast: z.int(), try: z.int() }),
  levels: z.array(Level),
  /** Set when a level beyond `asked.atLeast` did not come up. */
  stopped: Stopped.nullable(),
  problem: Problem.nullable(),
  timeline: z.array(Span),
  /** Folder of the case's evidence, relative to the report. */
  evidence: z.string(),
});
export type CaseResult = z.infer<typeof CaseResult>;

const HostReport = z.object({
  kind: z.enum(['local', 'emulated', 'remote']),
  /** Why this host was chosen. */
  reason: z.string(),
  facts: Facts.nullable(),
  kernel: z.string().nullable(),
  qemu: z.string().nullable(),
  libvirt: z.string().nullable(),
  kvm: Kvm.nullable(),
});
export type HostReport = z.infer<typeof HostReport>;

export const FORMAT = 'nested-check.run/1';

export const Report = z.object({
  format: z.literal(FORMAT),
  tool: z.object({ version: z.string() }),
  startedAt: z.iso.datetime(),
  durationMs: z.int(),
  /** The worst of the cases, by fail > error > pass > skip. */
  verdict: Verdict,
  /** True when the run was stopped before its end. */
  interrupted: z.boolean(),
  /** Null until a host was found. */
  host: HostReport.nullable(),
  cases: z.array(CaseResult),
  /** What kept the run as a whole from going on. */
  problem: Problem.nullable(),
});
export type Report = z.infer<typeof Report>;

const RANK: Record<Verdict, number> = { fail: 3, error: 2, pass: 1, skip: 0 };

/** The worst of some verdicts by fail > error > pass > skip; `skip` for none. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce<Verdict>((a, b) => (RANK[b] > RANK[a] ? b : a), 'skip');
}
