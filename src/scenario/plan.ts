// Scenarios in, cases out: everything is decided here, before anything boots.
import type { CpuRequest } from '../cpu/request.ts';
import { type Expectations, type Scenario, vcpusOf } from './schema.ts';

/** One guest, wholly decided. */
export interface LevelPlan {
  readonly level: number;
  readonly cpu: CpuRequest;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly machine: string;
  /** Whether the next level is to run in this one, so that it needs its own libvirt. */
  readonly isHost: boolean;
  /** Whether the case fails when this level does not come up (false beyond `depth.at-least`). */
  readonly required: boolean;
  readonly expect: Expectations;
}

/** One fully decided variant of a scenario, as plain data. */
export interface Case {
  /** Unique in a run: the scenario's name and, where there are variants, theirs. */
  readonly id: string;
  readonly scenario: string;
  readonly variant: Readonly<Record<string, string>>;
  readonly image: string;
  readonly depth: { readonly atLeast: number; readonly try: number };
  readonly levels: readonly LevelPlan[];
  /** Seconds; null: the default for the accelerator. */
  readonly timeouts: { readonly boot: number | null; readonly probe: number | null; readonly case: number | null };
}

export interface PlanOptions {
  /** --depth: overrides both ends of every scenario's depth. */
  readonly depth?: number;
  /** --only: a case is kept when its id contains this. */
  readonly only?: string;
  /** --timeout, in seconds, per case. */
  readonly timeout?: number;
  /** --image */
  readonly image?: string;
}

/** A guest that hosts nobody. Measured: Debian 12 boots, answers and is probed in it. */
const LEAF_MIB = 320;
/** What a level needs on top of the level inside it: its own system, libvirt and QEMU. */
const HOST_MIB = 768;

/** Expands scenarios to cases. Pure. */
export function plan(scenarios: readonly Scenario[], options: PlanOptions = {}): Case[] {
  return scenarios
    .map((scenario) => planOne(scenario, options))
    .filter((each) => options.only === undefined || each.id.includes(options.only));
}

function planOne(scenario: Scenario, options: PlanOptions): Case {
  const asked = scenario.depth ?? { 'at-least': scenario.levels.length, try: scenario.levels.length };
  const depth =
    options.depth === undefined
      ? { atLeast: asked['at-least'], try: Math.max(asked.try, asked['at-least']) }
      : { atLeast: options.depth, try: options.depth };
  const levels: LevelPlan[] = [];
  let below = 0;
  for (let level = depth.try; level >= 1; level--) {
    const given = scenario.levels[Math.min(level, scenario.levels.length) - 1] ?? {};
    const cpu = given.cpu ?? { mode: 'host-passthrough' };
    const isHost = level < depth.try;
    const needed = isHost ? below + HOST_MIB : LEAF_MIB;
    // An entry that stands for several levels can't mean the same size for a guest and for the guest in it.
    const repeats = isHost && level >= scenario.levels.length;
    const memoryMiB = repeats ? Math.max(needed, given.memory ?? 0) : (given.memory ?? needed);
    below = memoryMiB;
    levels.unshift({
      level,
      cpu,
      vcpus: given.vcpus ?? (cpu.topology === undefined ? 1 : vcpusOf(cpu.topology)),
      memoryMiB,
      machine: given.machine ?? 'q35',
      isHost,
      required: level <= depth.atLeast,
      expect: given.expect ?? {},
    });
  }
  return {
    id: scenario.name,
    scenario: scenario.name,
    variant: {},
    image: options.image ?? scenario.image,
    depth,
    levels,
    timeouts: {
      boot: scenario.timeouts.boot ?? null,
      probe: scenario.timeouts.probe ?? null,
      case: options.timeout ?? scenario.timeouts.case ?? null,
    },
  };
}
