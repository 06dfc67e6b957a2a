// One round of probes in a level: what is found there, before anyone judges it.
import type { Facts } from '../cpu/facts.ts';
import { factsFromTree } from '../cpu/facts-from-tree.ts';
import type { Host } from '../host/host.ts';
import { dmesgProbe } from '../probe/dmesg.ts';
import { type Probe, readRound, roundScript } from '../probe/probe.ts';
import { LIVE_TREE_SCRIPT, parseTree, type Tree } from '../probe/tree.ts';
import { readVersions, versionsProbe } from '../probe/versions.ts';
import type { LevelReport } from '../report/report.ts';

const factsProbe: Probe = { name: 'facts', description: 'CPU, caches, topology, KVM', script: LIVE_TREE_SCRIPT };

/** What was found by one round of probes in a level. */
export interface Look {
  readonly tree: Tree;
  readonly facts: Facts | null;
  readonly dmesg: string | null;
  readonly versions: LevelReport['versions'];
}

/** Runs one round of probes in a host or guest. Throws what exec throws. */
export async function look(host: Host, isHost: boolean, seconds: number, signal: AbortSignal): Promise<Look> {
  const probes = isHost ? [factsProbe, dmesgProbe, versionsProbe] : [factsProbe, dmesgProbe];
  const script = roundScript(probes);
  const output = await host.exec(
    { argv: ['sh', '-s', host.libvirtUri], stdin: script, timeoutMs: seconds * 1000 },
    signal,
  );
  const found = readRound(output.stdout);
  const tree = parseTree(found.get('facts') ?? '');
  return {
    tree,
    facts: tree.size === 0 ? null : factsFromTree(tree),
    dmesg: found.get('dmesg') ?? null,
    versions: { kernel: tree.get('kernel') ?? null, ...readVersions(found.get('versions') ?? '') },
  };
}

/** The kvm module of a level and its parameters; null when none is loaded. */
export function kvmOf({ tree, facts }: Look): LevelReport['kvm'] {
  const parameters = [...tree].flatMap(([path, value]) => {
    const match = /^sys\/module\/(kvm_(?:amd|intel))\/parameters\/(\w+)$/.exec(path);
    return match?.[1] !== undefined && match[2] !== undefined ? [{ module: match[1], name: match[2], value }] : [];
  });
  return {
    usable: facts?.kvmDevice === true && facts.virtualization !== null,
    module: parameters[0]?.module ?? null,
    parameters: Object.fromEntries(parameters.map(({ name, value }) => [name, value])),
  };
}
