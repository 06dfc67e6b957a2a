// Domain XML for one guest: written as XML, every value escaped. What libvirt makes of it is read elsewhere.
// Source: https://libvirt.org/formatdomain.html
import type { CpuRequest } from '../cpu/request.ts';
import type { LevelPlan } from '../scenario/plan.ts';

/** Namespace of the metadata by which leftovers of dead runs are found. */
export const TAG_NAMESPACE = 'https://nested-check.invalid/lease/1';

/** Who made a domain. */
export interface Lease {
  readonly run: string;
  readonly case: string;
  readonly level: number;
  /** Process id of the tool, and the time its process started (as /proc/PID/stat counts it, in clock ticks). */
  readonly pid: number;
  readonly startTime: string;
}

/** Reads the lease in a domain's XML as libvirt prints it; null for a domain that is not ours. */
export function readLease(xml: string): { pid: number; startTime: string } | null {
  const element = new RegExp(`<(?:\\w+:)?lease [^>]*xmlns(?::\\w+)?=['"]${TAG_NAMESPACE}['"][^>]*>`).exec(xml)?.[0];
  const pid = / pid=['"](\d+)['"]/.exec(element ?? '')?.[1];
  const startTime = / started=['"](\d+)['"]/.exec(element ?? '')?.[1];
  return pid === undefined || startTime === undefined ? null : { pid: Number(pid), startTime };
}

export interface DomainInput {
  readonly name: string;
  readonly accelerator: 'kvm' | 'qemu';
  readonly plan: LevelPlan;
  readonly lease: Lease;
  readonly kernel: string;
  readonly initramfs: string;
  readonly root: string;
  readonly rootType: 'file' | 'block';
  /** Kernel command line words beyond the ones every guest gets. */
  readonly kernelWords: readonly string[];
  /** File on the parent that receives the serial console. */
  readonly console: string;
}

/**
 * Kernel command line of a guest. `quiet`: each character on a serial console costs exits, which nesting multiplies;
 * the log is read later with dmesg. The self-tests and watchdogs left out judge code that is not under test.
 */
export function kernelCommandLine(isHost: boolean, words: readonly string[]): string {
  return [
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'nowatchdog',
    'cryptomgr.notests',
    'no_timer_check',
    ...(isHost ? ['nested_check.host'] : []),
    ...words,
  ].join(' ');
}

/** The domain XML of a guest, as it is given to `virsh create`. */
export function domainXml(input: DomainInput): string {
  const { plan, lease } = input;
  const source = input.rootType === 'block' ? `dev=${q(input.root)}` : `file=${q(input.root)}`;
  const address = (slot: string): string => `<address type='pci' bus='0x00' slot='${slot}'/>`;
  // On q35 libvirt would give each device a root port of its own; on the root bus they need no bridges to be found.
  const onRootBus = /^(q35|pc-q35)/.test(plan.machine) ? address : () => '';
  return `<domain type='${input.accelerator}'>
  <name>${t(input.name)}</name>
  <metadata>
    <lease xmlns=${q(TAG_NAMESPACE)} run=${q(lease.run)} case=${q(lease.case)} level='${lease.level}' pid='${lease.pid}' started=${q(lease.startTime)}/>
  </metadata>
  <memory unit='MiB'>${plan.memoryMiB}</memory>
  <vcpu>${plan.vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine=${q(plan.machine)}>hvm</type>
    <kernel>${t(input.kernel)}</kernel>
    <initrd>${t(input.initramfs)}</initrd>
    <cmdline>${t(kernelCommandLine(plan.isHost, input.kernelWords))}</cmdline>
  </os>
  <features><acpi/><apic/></features>
${cpuXml(plan.cpu)}  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <disk type='${input.rootType}' device='disk'>
      <driver name='qemu' type='raw'/>
      <source ${source}/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
      ${onRootBus('0x02')}
    </disk>
    <controller type='virtio-serial' index='0'>${onRootBus('0x03')}</controller>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend>${onRootBus('0x04')}</rng>
    <serial type='file'><source path=${q(input.console)}/><target port='0'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
`;
}

/** The <cpu> element with its line end, or nothing for mode none. */
export function cpuXml(cpu: CpuRequest): string {
  if (cpu.mode === 'none') return '';
  const attributes = [
    ` mode='${cpu.mode}'`,
    cpu.match && ` match='${cpu.match}'`,
    cpu.check && ` check='${cpu.check}'`,
    cpu.migratable !== undefined && ` migratable='${cpu.migratable ? 'on' : 'off'}'`,
  ];
  const { topology, cache, features = {} } = cpu;
  const children = [
    cpu.model && `<model${cpu.fallback ? ` fallback='${cpu.fallback}'` : ''}>${t(cpu.model)}</model>`,
    cpu.vendor && `<vendor>${t(cpu.vendor)}</vendor>`,
    topology &&
      `<topology sockets='${topology.sockets}'${topology.dies ? ` dies='${topology.dies}'` : ''} cores='${topology.cores}' threads='${topology.threads}'/>`,
    cache && `<cache${cache.level ? ` level='${cache.level}'` : ''} mode='${cache.mode}'/>`,
    ...Object.entries(features).map(([name, policy]) => `<feature policy='${policy}' name=${q(name)}/>`),
  ].filter(Boolean);
  const open = `  <cpu${attributes.filter(Boolean).join('')}`;
  if (children.length === 0) return `${open}/>\n`;
  return `${open}>\n${children.map((child) => `    ${child}\n`).join('')}  </cpu>\n`;
}

/** Text content. XML 1.0 has no way to write most control characters, so they become U+FFFD. */
function t(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
}

/** Attribute value, in quotes. */
function q(text: string): string {
  const blanks = t(text).replace(/[\t\n\r]/g, (blank) => `&#${blank.charCodeAt(0)};`);
  return `'${blanks.replace(/'/g, '&apos;')}'`;
}
