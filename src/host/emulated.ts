// The emulated host: a QEMU TCG machine with an SVM-capable CPU, our child process, reached by its guest agent.
// Nothing of libvirt or KVM is needed outside; inside, kvm_amd, libvirt and QEMU are the real ones.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { kernelCommandLine } from '../domain/domain-xml.ts';
import { NestedCheckError } from '../errors.ts';
import type { Image } from '../image/cache.ts';
import { type Agent, greetAgent } from './agent.ts';
import type { HostUnderTest } from './host.ts';

export const DEFAULT_EMULATED_CPU = 'max';

/** MiB that an emulated host needs for itself: its system, libvirt and QEMU's own memory. */
export const OWN_MIB = 768;

/**
 * CPUs by name. TCG lacks a few flags without which libvirt calls nearly every named model unusable; those on which
 * nothing depends are shown all the same (x-force-features), and what software would really use and TCG can't do
 * (rdseed, sha-ni, xsavec, nrip-save) is taken away. Any other text goes to QEMU's -cpu as it is, and what follows a
 * name (`max,-cx16`) is added to it.
 */
const EMULATED_CPUS: Readonly<Record<string, string>> = {
  max: 'max,+vme,+fxsr-opt,+misalignsse,+3dnowprefetch,+osvw,x-force-features=on',
  EPYC: 'EPYC,vme=on,-rdseed,-sha-ni,-xsavec,-nrip-save,amd-no-ssb=on,x-force-features=on',
  Opteron_G3: 'Opteron_G3,svm=on,npt=on,vme=on,x-force-features=on',
  Dhyana: 'Dhyana,vme=on,-rdseed,-xsavec,-nrip-save,svm=on,npt=on,amd-no-ssb=on,x-force-features=on',
};

export interface EmulatedOptions {
  readonly image: Pick<Image, 'kernel' | 'initramfs' | 'root'>;
  /** A name of EMULATED_CPUS or a value for QEMU's -cpu. */
  readonly cpu: string;
  readonly memoryMiB: number;
  readonly vcpus: number;
  /** Folder for console.log and qemu.log. */
  readonly folder: string;
  readonly reason: string;
  /** Further disks, read-only: /dev/vdb and on. */
  readonly disks?: readonly string[];
  /** Seconds until its agent must answer. */
  readonly bootSeconds: number;
}

function emulatedCpu(text: string): string {
  const [name = '', ...rest] = text.split(',');
  return [EMULATED_CPUS[name] ?? name, ...rest].join(',');
}

/** The command that starts an emulated host; file descriptor 3 is its agent. */
export function emulatedHostCommand(options: Omit<EmulatedOptions, 'reason' | 'bootSeconds'>): [string, ...string[]] {
  return [
    // The kernel kills QEMU when we die, even by SIGKILL.
    'setpriv',
    '--pdeathsig=KILL',
    'qemu-system-x86_64',
    ...['-name', 'nested-check-host,debug-threads=on'],
    ...['-machine', 'q35,accel=tcg'],
    ...['-cpu', emulatedCpu(options.cpu)],
    ...['-m', `${options.memoryMiB}`],
    ...['-smp', `${options.vcpus}`],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-kernel', options.image.kernel, '-initrd', options.image.initramfs],
    // Nothing in an emulated CPU needs guarding, and each guard is paid for at every exit of every level inside.
    ...['-append', kernelCommandLine(true, ['mitigations=off'])],
    ...[options.image.root, ...(options.disks ?? [])].flatMap((file, index) => [
      ...['-drive', `if=none,id=disk${index},format=raw,readonly=on,file=${file.replaceAll(',', ',,')}`],
      ...['-device', `virtio-blk-pci,drive=disk${index}`],
    ]),
    ...['-object', 'rng-random,id=rng,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng'],
    ...['-chardev', `file,id=console,path=${join(options.folder, 'console.log').replaceAll(',', ',,')}`],
    ...['-serial', 'chardev:console'],
    ...['-chardev', 'socket,id=agent,fd=3', '-device', 'virtio-serial-pci'],
    ...['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
  ];
}

/**
 * Starts an emulated host and waits for its agent.
 * Throws NestedCheckError `died`, `timeout`, `host` (QEMU is missing), `interrupted`.
 */
export async function startEmulatedHost(options: EmulatedOptions, signal: AbortSignal): Promise<HostUnderTest> {
  const [program, ...rest] = emulatedHostCommand(options);
  const log = join(options.folder, 'qemu.log');
  const child = execa(program, rest, {
    stdio: ['ignore', 'ignore', { file: log }, 'pipe'],
    buffer: false,
    // A group of its own: a terminal's Ctrl-C reaches only us, and we end QEMU when everything is written.
    detached: true,
    reject: false,
  });
  const gone = child.then(async (result) => {
    const words = (await readFile(log, 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line !== '' && !line.includes('warning: TCG doesn'))
      .slice(-5)
      .join('\n');
    if (/unable to find CPU model|Property '[^']*' not found|Expected key=value/.test(words)) {
      return new NestedCheckError('usage', `--host emulated:${options.cpu}: ${words}`, {
        hint: 'qemu-system-x86_64 -cpu help lists CPUs and features',
      });
    }
    const missing = result.code === 'ENOENT' || result.exitCode === 127;
    return new NestedCheckError(
      missing ? 'host' : 'died',
      `L0: the emulated host ended: ${words || result.shortMessage || 'no word'}`,
      {
        hint: missing ? 'run `nested-check doctor --fix`' : `its console is ${join(options.folder, 'console.log')}`,
      },
    );
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await child;
  };

  let agent: Agent;
  const deadline = AbortSignal.timeout(options.bootSeconds * 1000);
  try {
    agent = await greetAgent(child.stdio[3] as Duplex, AbortSignal.any([signal, deadline]));
  } catch (error) {
    await stop();
    signal.throwIfAborted();
    if (!deadline.aborted) throw await gone;
    throw new NestedCheckError('timeout', `L0: the emulated host's agent was silent for ${options.bootSeconds} s`, {
      hint: `its console is ${join(options.folder, 'console.log')}`,
      cause: error,
    });
  }

  return {
    kind: 'emulated',
    reason: options.reason,
    takesGuestsAlong: true,
    level: 0,
    libvirtUri: 'qemu:///system',
    bootFiles: { kernel: '/boot/vmlinuz', initramfs: '/boot/initramfs.img', root: '/dev/vda', rootType: 'block' },
    consoleFolder: '/run/nested-check',
    async exec(command, execSignal) {
      try {
        return await agent.exec(command, execSignal);
      } catch (error) {
        execSignal.throwIfAborted();
        // A socket that breaks off means, nearly always, that QEMU is about to be seen to have ended.
        const broke = error instanceof NestedCheckError && error.code === 'agent';
        throw broke ? await Promise.race([gone, sleep(1000, error)]) : error;
      }
    },
    async [Symbol.asyncDispose]() {
      agent.close();
      await stop();
    },
  };
}
