// Levels that did not come up, or could not be looked into, as the report tells them.
import { NestedCheckError } from '../errors.ts';
import type { Guest } from '../host/guest.ts';
import { judgeAbsence } from '../probe/judge.ts';
import type { LevelReport, Problem, Stopped } from '../report/report.ts';
import type { LevelPlan } from '../scenario/plan.ts';

/** An error as the report has it; aborts are told apart by who aborted. */
export function describeFailure(
  error: unknown,
  level: number,
  run: AbortSignal,
  deadline: AbortSignal,
  seconds: number,
): Problem {
  if (run.aborted) return { code: 'interrupted', message: `L${level}: the run was stopped`, hint: null };
  if (deadline.aborted) {
    return {
      code: 'timeout',
      message: `L${level}: the case took longer than ${seconds} s`,
      hint: '--timeout SECONDS, or `timeouts: {case: …}` in the scenario',
    };
  }
  if (error instanceof NestedCheckError) return { code: error.code, message: error.message, hint: error.hint };
  throw error;
}

export function whyStopped(code: string): Stopped['why'] {
  switch (code) {
    case 'refused':
      return 'refused';
    case 'died':
      return 'died';
    case 'hung':
      return 'hung';
    case 'timeout':
      return 'slow';
    default:
      return 'unable';
  }
}

/** libvirt's words that tell of a CPU or of KVM not being what was asked, and so answer the question with no. */
const ANSWERS_NO =
  /incompatible with host CPU|required features|KVM is not available|kvm kernel module|KVM acceleration|not supported by hypervisor|CPU mode|CPU model|CPU feature|guest CPU|machine type/i;

export function absent(plan: LevelPlan, failure: Problem): LevelReport {
  // A guest that dies answers no; a host above it that dies leaves the question open.
  const died = failure.code === 'died' && failure.message.startsWith(`L${plan.level}:`);
  const no = died || (failure.code === 'refused' && ANSWERS_NO.test(failure.message));
  return blank(plan, 0, [judgeAbsence(plan, no ? 'fail' : 'error', failure.message, failure.hint)]);
}

export function unseen(plan: LevelPlan, guest: Guest, failure: Problem): LevelReport {
  return blank(plan, guest.bootMs, [
    { name: 'boots', verdict: 'pass', expected: 'the guest agent answers', observed: 'it answers', hint: null },
    {
      name: 'facts',
      verdict: plan.required ? 'error' : 'skip', // only tried: it is told where the case stopped
      expected: 'the probes answer',
      observed: failure.message,
      hint: failure.hint,
    },
  ]);
}

function blank(plan: LevelPlan, bootMs: number, probes: LevelReport['probes']): LevelReport {
  return {
    level: plan.level,
    accelerator: null,
    machine: null,
    vcpus: plan.vcpus,
    memoryMiB: plan.memoryMiB,
    bootMs,
    cpu: { requested: { ...plan.cpu }, liveXml: null, qemuCpu: null },
    facts: null,
    kvm: null,
    versions: { kernel: null, qemu: null, libvirt: null },
    probes,
  };
}
