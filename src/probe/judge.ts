// Expectation × observation → verdict, for one level. Pure: a report can be judged again from what it holds.
import type { Facts } from '../cpu/facts.ts';
import { formatCaches } from '../cpu/format.ts';
import type { LiveDomain } from '../domain/live.ts';
import type { ProbeResult } from '../report/report.ts';
import type { LevelPlan } from '../scenario/plan.ts';
import { dmesgTrouble } from './dmesg.ts';

/** What was seen of one level, from inside and from its parent; null for what could not be found out. */
export interface Observation {
  readonly facts: Facts | null;
  readonly live: LiveDomain | null;
  readonly dmesg: string | null;
  /** Facts of the level above, whose kvm module decides what this one is offered. */
  readonly parent: Facts | null;
}

/** Judges one level that came up. */
export function judge(plan: LevelPlan, seen: Observation): ProbeResult[] {
  return [
    { name: 'boots', verdict: 'pass', expected: 'the guest agent answers', observed: 'it answers', hint: null },
    accelerator(seen),
    oneCpuArgument(seen),
    virtualization(plan, seen),
    kvmDevice(plan, seen),
    nested(plan, seen),
    caches(seen),
    ...flags(plan, seen),
    ...modelName(plan, seen),
    dmesg(plan, seen),
  ];
}

/** The result for a level that did not come up; `skip` where it was only tried. */
export function judgeAbsence(
  plan: LevelPlan,
  verdict: 'fail' | 'error',
  message: string,
  hint: string | null,
): ProbeResult {
  return {
    name: 'boots',
    verdict: plan.required ? verdict : 'skip',
    expected: 'the guest agent answers',
    observed: message,
    hint,
  };
}

function accelerator({ facts, live }: Observation): ProbeResult {
  const qemu = live?.accelerator ?? null;
  const inside = facts?.hypervisor ?? null;
  const verdict =
    qemu === 'kvm' && inside === 'KVM'
      ? 'pass'
      : qemu === 'tcg' || (inside !== null && inside !== 'KVM')
        ? 'fail'
        : 'error';
  return {
    name: 'accelerator',
    verdict,
    expected: 'KVM, by QEMU (query-kvm) and by the signature seen inside',
    observed: `QEMU: ${qemu ?? 'not known'}; inside: ${inside ?? 'not known'}`,
    hint:
      verdict === 'fail' ? 'the guest fell back to emulation: is /dev/kvm usable by QEMU in the level above?' : null,
  };
}

function oneCpuArgument({ live }: Observation): ProbeResult {
  const all = live?.argv == null ? null : live.cpuArguments;
  return {
    name: 'cpu-argument',
    verdict: all === null ? 'error' : all.length <= 1 ? 'pass' : 'fail',
    expected: 'at most one -cpu argument',
    observed: all === null ? "QEMU's arguments could not be read" : all.join(' and then ') || 'none',
    hint: all !== null && all.length > 1 ? 'the last one wins: something overrides what libvirt wrote' : null,
  };
}

/** Whether this level ought to see vmx or svm: as the scenario says, or because the next level needs it. */
function virtualizationExpected(plan: LevelPlan): boolean | 'vmx' | 'svm' | null {
  if (plan.expect.virtualization !== undefined) return plan.expect.virtualization;
  return plan.isHost || plan.cpu.mode === 'host-passthrough' ? true : null;
}

function virtualization(plan: LevelPlan, { facts, parent }: Observation): ProbeResult {
  const want = virtualizationExpected(plan);
  // Flags that could not be read leave the question open.
  const have = facts?.flags == null ? undefined : facts.virtualization;
  const pass =
    have !== undefined && (want === null || (typeof want === 'string' ? have === want : (have !== null) === want));
  const off = parent !== null && isOff(parent.nestedParameter);
  return {
    name: 'virtualization',
    verdict: have === undefined ? 'error' : pass ? 'pass' : 'fail',
    expected: want === null ? null : want === true ? 'vmx or svm' : want === false ? 'neither vmx nor svm' : want,
    observed: have === undefined ? 'flags could not be read' : (have ?? 'neither vmx nor svm'),
    hint:
      pass || have === undefined || want === false
        ? null
        : off
          ? `nested is off in the level above: options ${parent.virtualization === 'vmx' ? 'kvm_intel' : 'kvm_amd'} nested=1 in /etc/modprobe.d there`
          : plan.cpu.mode === 'host-passthrough'
            ? 'the level above has no vmx or svm to give'
            : "add svm (AMD) or vmx (Intel) to the CPU's features, or use host-passthrough",
  };
}

function kvmDevice(plan: LevelPlan, { facts }: Observation): ProbeResult {
  const want =
    plan.expect['kvm-device'] ??
    (virtualizationExpected(plan) === null ? null : virtualizationExpected(plan) !== false);
  const have = facts?.kvmDevice ?? null;
  return {
    name: 'kvm-device',
    verdict: have === null ? 'error' : want === null || want === have ? 'pass' : 'fail',
    expected: want === null ? null : want ? '/dev/kvm opens' : '/dev/kvm does not open',
    observed: have === null ? 'could not be tried' : have ? '/dev/kvm opens' : '/dev/kvm does not open',
    hint:
      want === true && have === false ? 'is kvm_amd or kvm_intel loaded in this level? its dmesg says why not' : null,
  };
}

function nested(plan: LevelPlan, { facts }: Observation): ProbeResult {
  const want = plan.expect.nested ?? (plan.isHost ? true : null);
  const value = facts?.nestedParameter ?? null;
  const have = value !== null && !isOff(value);
  return {
    name: 'nested-parameter',
    verdict: facts === null ? 'error' : want === null || have === want ? 'pass' : 'fail',
    expected: want === null ? null : want ? 'on' : 'off',
    observed: facts === null ? 'could not be read' : (value ?? 'no kvm module is loaded'),
    hint:
      want === true && value !== null && !have
        ? 'options kvm_amd nested=1 (or kvm_intel) in /etc/modprobe.d of this level'
        : null,
  };
}

/** Whether a `nested` parameter, as the kernel prints it, says off. Not loaded (null) is not off. */
export function isOff(nestedParameter: string | null): boolean {
  return nestedParameter === '0' || nestedParameter === 'N';
}

function caches({ facts }: Observation): ProbeResult {
  const known = facts !== null && facts.caches.length > 0;
  return {
    name: 'caches',
    verdict: facts === null ? 'error' : 'pass',
    expected: null,
    observed: known ? formatCaches(facts) : facts === null ? 'could not be read' : 'the guest sees none',
    hint: null,
  };
}

function flags(plan: LevelPlan, { facts }: Observation): ProbeResult[] {
  const want = plan.expect.flags;
  if (want === undefined) return [];
  const have = facts?.flags == null ? null : new Set(facts.flags);
  const missing = (want.present ?? []).filter((flag) => have !== null && !have.has(flag));
  const unwanted = (want.absent ?? []).filter((flag) => have?.has(flag));
  const words = [
    missing.length > 0 && `missing: ${missing.join(' ')}`,
    unwanted.length > 0 && `present: ${unwanted.join(' ')}`,
  ];
  return [
    {
      name: 'flags',
      verdict: have === null ? 'error' : missing.length + unwanted.length === 0 ? 'pass' : 'fail',
      expected: [
        want.present && `present: ${want.present.join(' ')}`,
        want.absent && `absent: ${want.absent.join(' ')}`,
      ]
        .filter(Boolean)
        .join('; '),
      observed: have === null ? 'flags could not be read' : words.filter(Boolean).join('; ') || 'as expected',
      hint: null,
    },
  ];
}

function modelName(plan: LevelPlan, { facts }: Observation): ProbeResult[] {
  const want = plan.expect['model-name'];
  if (want === undefined) return [];
  const have = facts?.modelName ?? null;
  return [
    {
      name: 'model-name',
      verdict: have === null ? 'error' : have.includes(want) ? 'pass' : 'fail',
      expected: `contains “${want}”`,
      observed: have ?? 'could not be read',
      hint: null,
    },
  ];
}

function dmesg(plan: LevelPlan, { dmesg: log }: Observation): ProbeResult {
  const trouble = log === null ? [] : dmesgTrouble(log);
  const want = plan.expect.dmesg === 'clean';
  return {
    name: 'dmesg',
    verdict: log === null || log === '' ? 'error' : want && trouble.length > 0 ? 'fail' : 'pass',
    expected: want ? 'no sign of trouble with KVM or the kernel' : null,
    observed: log === null || log === '' ? 'could not be read' : trouble.length === 0 ? 'clean' : trouble.join('\n'),
    hint: null,
  };
}
