// Versions of libvirt and QEMU in a level that is a host, from its libvirt itself.
import type { Versions } from '../report/report.ts';
import type { Probe } from './probe.ts';

/** Waits until a host of ours has its libvirt up (see the image's `host` script); $1 is the libvirt URI. */
export const versionsProbe: Probe = {
  name: 'versions',
  description: 'versions of libvirt and QEMU',
  script: '[ ! -e /run/nested-check/starting ] || flock -s /run/nested-check/starting true; virsh -q -c "$1" version',
};

/** Reads `virsh version`; null for what it does not say. */
export function readVersions(text: string): Pick<Versions, 'qemu' | 'libvirt'> {
  return {
    libvirt: /Using library: libvirt (\S+)/.exec(text)?.[1] ?? null,
    qemu: /Running hypervisor: QEMU (\S+)/.exec(text)?.[1] ?? null,
  };
}
