// Which host is under test: as the user says, or local where KVM can really run a guest and emulated elsewhere.
import { freemem } from 'node:os';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import type { Image } from '../image/cache.ts';
import { DEFAULT_EMULATED_CPU, OWN_MIB, startEmulatedHost } from './emulated.ts';
import type { HostUnderTest } from './host.ts';
import { checkKvm } from './kvm-check.ts';
import { openLocalHost } from './local.ts';

export type HostRequest =
  | { readonly kind: 'auto' }
  | { readonly kind: 'local' }
  | { readonly kind: 'emulated'; readonly cpu: string };

/** Reads --host. Throws NestedCheckError `usage`. */
export function parseHost(text: string): HostRequest {
  if (text === 'auto' || text === 'local') return { kind: text };
  if (text === 'emulated') return { kind: 'emulated', cpu: DEFAULT_EMULATED_CPU };
  if (text.startsWith('emulated:') && text.length > 'emulated:'.length) {
    return { kind: 'emulated', cpu: text.slice('emulated:'.length) };
  }
  throw new NestedCheckError('usage', `--host: unknown host “${text}”`, {
    hint: 'one of auto, local, emulated, emulated:CPU (a QEMU CPU, such as emulated:EPYC)',
  });
}

/** A host request that is decided. */
export type ChosenHost = Exclude<HostRequest, { kind: 'auto' }> & { readonly reason: string };

/** Decides `auto` by really booting a tiny guest where that can work at all. */
export async function chooseHost(request: HostRequest, image: Image, environment: Environment): Promise<ChosenHost> {
  if (request.kind !== 'auto') return { ...request, reason: `asked for with --host ${request.kind}` };
  const kvm = await checkKvm({ image, environment });
  return kvm.usable
    ? { kind: 'local', reason: kvm.reason }
    : { kind: 'emulated', cpu: DEFAULT_EMULATED_CPU, reason: `KVM can't be used here: ${kvm.reason}` };
}

export interface HostNeeds {
  /** Memory that the level 1 guests running at the same time have together. */
  readonly guestsMiB: number;
  readonly vcpus: number;
}

/** Starts or opens a chosen host. Throws NestedCheckError `host` when the machine is too small. */
export async function openHost(
  chosen: ChosenHost,
  needs: HostNeeds,
  options: { image: Image; environment: Environment; folder: string; bootSeconds: number },
  signal: AbortSignal,
): Promise<HostUnderTest> {
  const memoryMiB = needs.guestsMiB + (chosen.kind === 'emulated' ? OWN_MIB : 0);
  const freeMiB = Math.floor(freemem() / 2 ** 20);
  if (memoryMiB > freeMiB) {
    throw new NestedCheckError('host', `L0: ${memoryMiB} MiB of memory are needed, ${freeMiB} MiB are free`, {
      hint: 'a smaller --depth or --jobs, or `memory:` in the scenario',
    });
  }
  return chosen.kind === 'local'
    ? openLocalHost({ ...options, reason: chosen.reason }, signal)
    : startEmulatedHost({ ...options, cpu: chosen.cpu, memoryMiB, vcpus: needs.vcpus, reason: chosen.reason }, signal);
}
