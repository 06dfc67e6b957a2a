// One case: the recursion. A guest is booted in its parent, looked into, and is then the parent of the next.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Facts } from '../cpu/facts.ts';
import type { Lease } from '../domain/domain-xml.ts';
import { LIVE_SCRIPT, type LiveDomain, readLive } from '../domain/live.ts';
import { consoleOf, destroyGuest, type Guest, startGuest } from '../host/guest.ts';
import type { Host, HostUnderTest } from '../host/host.ts';
import { judge } from '../probe/judge.ts';
import { readRound } from '../probe/probe.ts';
import type { CaseResult, LevelReport, Problem, Stopped } from '../report/report.ts';
import { worst } from '../report/report.ts';
import type { Case, LevelPlan } from '../scenario/plan.ts';
import type { RunClock } from './clock.ts';
import type { Evidence } from './evidence.ts';
import { absent, describeFailure, unseen, whyStopped } from './failure.ts';
import { kvmOf, look } from './look.ts';

/** What a case needs of the run around it. */
export interface CaseContext {
  readonly clock: RunClock;
  readonly evidence: Evidence;
  readonly lease: Omit<Lease, 'case' | 'level'>;
  readonly host: HostUnderTest;
  /** Facts of the host under test, once they are known. */
  readonly hostFacts: Promise<Facts | null>;
  /** Deadlines where the scenario has none, in seconds. */
  readonly deadlines: Deadlines;
  readonly keep: boolean;
  /** Whether no case is to follow. */
  isLast(each: Case): boolean;
}

export interface Deadlines {
  boot(level: number): number;
  probe(level: number): number;
  readonly case: number;
}

/** Boots and looks into level after level of a case. Never throws: what goes wrong is in the result. */
export async function runCase(each: Case, context: CaseContext, signal: AbortSignal): Promise<CaseResult> {
  const { clock } = context;
  const startedAt = clock.now();
  clock.emit({ kind: 'case-started', at: startedAt, case: each.id, evidence: context.evidence.relative(each.id) });
  const seconds = each.timeouts.case ?? context.deadlines.case;
  const deadline = AbortSignal.timeout(seconds * 1000);
  const caseSignal = AbortSignal.any([signal, deadline]);
  const levels: LevelReport[] = [];
  let stopped: Stopped | null = null;
  let problem: Problem | null = null;

  const finish = (level: LevelReport): void => {
    levels.push(level);
    clock.emit({ kind: 'level-done', at: clock.now(), case: each.id, level });
  };

  const descend = async (parent: Host, parentFacts: Promise<Facts | null>, index: number): Promise<void> => {
    const plan = each.levels[index];
    if (plan === undefined) return;
    let guest: Guest;
    try {
      guest = await boot(each, plan, parent, context, caseSignal);
    } catch (error) {
      const failure = describeFailure(error, plan.level, signal, deadline, seconds);
      finish(absent(plan, failure));
      if (!caseSignal.aborted) await keepEvidence(each, plan, parent, context, caseSignal);
      if (plan.required) problem = failure;
      else stopped = { level: plan.level, why: whyStopped(failure.code), message: failure.message };
      return;
    }
    const seen = examine(each, plan, parent, guest, parentFacts, context, caseSignal);
    const facts = seen.then(
      (result) => result.facts,
      () => null,
    );
    const told = seen.then(finish, (error: unknown) => {
      const failure = describeFailure(error, plan.level, signal, deadline, seconds);
      if (plan.required) problem ??= failure;
      else stopped ??= { level: plan.level, why: whyStopped(failure.code), message: failure.message };
      finish(unseen(plan, guest, failure));
    });
    // The next level boots while this one is looked into.
    await Promise.all([told, descend(guest, facts, index + 1)]);
  };

  await descend(context.host, context.hostFacts, 0);
  levels.sort((a, b) => a.level - b.level);
  const endsAnyway = context.host.takesGuestsAlong && (signal.aborted || context.isLast(each));
  if (levels[0] !== undefined && !context.keep && !endsAnyway) {
    const domain = domainName(context.lease.run, each.id, 1);
    await clock
      .stage(each.id, 1, 'teardown', () => destroyGuest(context.host, domain))
      .catch((error: unknown) => {
        clock.emit({ kind: 'note', at: clock.now(), text: error instanceof Error ? error.message : String(error) });
      });
  }
  const up = levels.filter(
    (level) => level.facts !== null && level.probes.some((probe) => probe.name === 'boots' && probe.verdict === 'pass'),
  );
  const result: CaseResult = {
    id: each.id,
    scenario: each.scenario,
    variant: { ...each.variant },
    verdict: worst(levels.flatMap((level) => level.probes.map((probe) => probe.verdict))),
    attempts: 1,
    durationMs: clock.now() - startedAt,
    depth: up.length,
    asked: each.depth,
    levels,
    stopped,
    problem,
    timeline: clock.timeline(each.id),
    evidence: context.evidence.relative(each.id),
  };
  clock.emit({ kind: 'case-done', at: clock.now(), result });
  return result;
}

/** Name of a level's domain: only letters, digits and dashes, so it can stand in any command, and unique in a run. */
export function domainName(run: string, caseId: string, level: number): string {
  const plain = caseId.replace(/[^a-z0-9]+/g, '-').slice(0, 60);
  const unlike = plain === caseId ? '' : `-${createHash('sha256').update(caseId).digest('hex').slice(0, 6)}`;
  return `nested-check-${run}-${plain}${unlike}-L${level}`;
}

async function boot(
  each: Case,
  plan: LevelPlan,
  parent: Host,
  context: CaseContext,
  signal: AbortSignal,
): Promise<Guest> {
  const { clock, evidence } = context;
  const input = {
    name: domainName(context.lease.run, each.id, plan.level),
    accelerator: 'kvm' as const,
    plan,
    lease: { ...context.lease, case: each.id, level: plan.level },
    kernelWords: [],
  };
  const seconds = each.timeouts.boot ?? context.deadlines.boot(plan.level);
  const onXml = (xml: string) => evidence.level(each.id, plan.level, { 'domain-asked.xml': xml });
  const booted = new AbortController();
  const watching = watchConsole(
    each,
    plan,
    parent,
    consoleOf(parent, input.name),
    context,
    AbortSignal.any([signal, booted.signal]),
  );
  try {
    return await clock.stage(each.id, plan.level, 'boot', () => startGuest(parent, input, seconds, signal, onXml));
  } finally {
    booted.abort();
    await watching;
  }
}

/** How often a booting guest's console is looked at, in ms: deep levels pay much for each look. */
const CONSOLE_MS = 20_000;

/** Tells the last line of a booting guest's console now and then, until `signal` aborts. Never throws. */
async function watchConsole(
  each: Case,
  plan: LevelPlan,
  parent: Host,
  console: string,
  { clock }: CaseContext,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (;;) {
      await sleep(CONSOLE_MS * plan.level, undefined, { signal });
      const { stdout } = await parent.exec({ argv: ['tail', '-c', '400', console], timeoutMs: 60_000 }, signal);
      const lastLine = stdout.trim().split('\n').at(-1) || null;
      clock.emit({ kind: 'waiting', at: clock.now(), case: each.id, level: plan.level, stage: 'boot', lastLine });
    }
  } catch {
    // The guest is up, or gone, or out of reach: startGuest says which.
  }
}

/** Looks at a guest from inside and from its parent, side by side, and judges it. */
async function examine(
  each: Case,
  plan: LevelPlan,
  parent: Host,
  guest: Guest,
  parentFacts: Promise<Facts | null>,
  context: CaseContext,
  signal: AbortSignal,
): Promise<LevelReport> {
  const { clock, evidence } = context;
  const seconds = each.timeouts.probe ?? context.deadlines.probe(plan.level);
  const [seen, live] = await Promise.all([
    clock.stage(each.id, plan.level, 'probe', () => look(guest, plan.isHost, seconds, signal)),
    clock.stage(each.id, plan.level, 'live', () => lookFromParent(parent, guest.domain, seconds, signal)),
  ]);
  await evidence.level(each.id, plan.level, {
    ...evidenceOf(live),
    'dmesg.txt': seen.dmesg,
    'facts-tree.txt': [...seen.tree]
      .flatMap(([path, text]) => text.split('\n').map((line) => `${path}:${line}`))
      .join('\n'),
  });
  return {
    level: plan.level,
    accelerator: live.accelerator,
    machine: live.machine,
    vcpus: plan.vcpus,
    memoryMiB: plan.memoryMiB,
    bootMs: guest.bootMs,
    cpu: { requested: { ...plan.cpu }, liveXml: live.cpuXml, qemuCpu: live.cpuArguments.at(-1) ?? null },
    facts: seen.facts,
    kvm: kvmOf(seen),
    versions: seen.versions,
    probes: judge(plan, { facts: seen.facts, live, dmesg: seen.dmesg, parent: await parentFacts }),
  };
}

function evidenceOf(live: LiveDomain): Record<string, string | null> {
  return {
    'domain-live.xml': live.xml,
    'qemu-arguments.txt': live.argv?.join('\n') ?? null,
    'qemu.log': live.log,
    'console.txt': live.console,
  };
}

/** What the parent still knows of a guest that did not come up. Never throws: the failure itself is told already. */
async function keepEvidence(
  each: Case,
  plan: LevelPlan,
  parent: Host,
  context: CaseContext,
  signal: AbortSignal,
): Promise<void> {
  try {
    const domain = domainName(context.lease.run, each.id, plan.level);
    const live = await lookFromParent(parent, domain, context.deadlines.probe(plan.level), signal);
    await context.evidence.level(each.id, plan.level, evidenceOf(live));
  } catch (error) {
    const text = `L${plan.level}: no evidence from its parent: ${error instanceof Error ? error.message : error}`;
    context.clock.emit({ kind: 'note', at: context.clock.now(), text });
  }
}

async function lookFromParent(parent: Host, domain: string, seconds: number, signal: AbortSignal): Promise<LiveDomain> {
  const output = await parent.exec(
    {
      argv: ['sh', '-c', LIVE_SCRIPT, 'nested-check-live', parent.libvirtUri, domain, consoleOf(parent, domain)],
      timeoutMs: seconds * 1000,
    },
    signal,
  );
  return readLive(readRound(output.stdout));
}
