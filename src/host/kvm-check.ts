// Can KVM really run a guest on this machine? A /dev/kvm that opens proves nothing: a tiny guest has to boot.
import { constants } from 'node:fs';
import { access, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir, release } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { z } from 'zod';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import type { Image } from '../image/cache.ts';
import { printable } from '../report/printable.ts';

export interface KvmAnswer {
  readonly usable: boolean;
  readonly reason: string;
}

export interface KvmCheckOptions {
  readonly image: Image;
  readonly environment: Environment;
  /** How long the tiny guest may take to its first words; default 30 s. */
  readonly deadlineMs?: number;
  /** For tests: other places than /proc/cpuinfo and /dev/kvm, or no look at the CPU's flags at all. */
  readonly cpuinfo?: string;
  readonly device?: string;
  readonly ignoreFlags?: boolean;
}

/** A refusal is asked again after this time: it may have come from a busy machine. */
const REFUSAL_LASTS_MS = 24 * 3600 * 1000;

const Memory = z.record(z.string(), z.object({ usable: z.boolean(), reason: z.string(), at: z.number() }));

/**
 * Says whether a guest can run with KVM here, and how that is known. Remembered in
 * $XDG_STATE_HOME/nested-check/kvm-check.json for this kernel, QEMU, CPU and image.
 * @throws NestedCheckError `host` without QEMU or setpriv, `interrupted`
 */
export async function checkKvm(options: KvmCheckOptions): Promise<KvmAnswer> {
  const cpuinfo = await readFile(options.cpuinfo ?? '/proc/cpuinfo', 'utf8').catch(() => '');
  const device = await openDevice(options.device ?? '/dev/kvm');
  const refusal = options.ignoreFlags ? null : refusalOf(cpuinfo, device);
  if (refusal !== null) return { usable: false, reason: refusal };

  const file = memoryFile(options.environment);
  const key = await memoryKey(options, cpuinfo);
  const memory = await readMemory(file);
  const known = memory[key];
  if (known && (known.usable || Date.now() - known.at < REFUSAL_LASTS_MS)) {
    const day = new Date(known.at).toISOString().slice(0, 10);
    return { usable: known.usable, reason: `${known.reason} (tried on ${day}; ${file} remembers it)` };
  }
  const answer = await bootTinyGuest(options);
  // what another run wrote in between is lost, and will be found out again
  await writeMemory(file, { ...memory, [key]: { ...answer, at: Date.now() } }).catch(() => {});
  return answer;
}

/** How opening /dev/kvm for reading and writing went. */
export type Device = 'opens' | 'absent' | 'forbidden';

/** Why no guest needs to be tried; null when one has to be. */
export function refusalOf(cpuinfo: string, device: Device): string | null {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/) ?? [];
  if (!flags.includes('vmx') && !flags.includes('svm')) {
    const lie = device === 'opens' ? ', although /dev/kvm opens' : '';
    return flags.length === 0 ? `the CPU's flags can't be read${lie}` : `the CPU has neither vmx nor svm${lie}`;
  }
  switch (device) {
    case 'opens':
      return null;
    case 'absent':
      return `the CPU has ${flags.includes('vmx') ? 'vmx' : 'svm'}, but there is no /dev/kvm (is the kvm module loaded?)`;
    case 'forbidden':
      return 'this user may not open /dev/kvm (nested-check doctor says how to change that)';
  }
}

/** The command that boots the tiny guest; the image's initramfs greets and powers off. */
export function tinyGuestCommand(image: Image): string[] {
  return [
    ...['setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64'],
    ...['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '192', '-smp', '1'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', image.kernel, '-initrd', image.initramfs],
    ...['-append', 'console=ttyS0 panic=-1 nested_check.hello=1'],
  ];
}

async function bootTinyGuest(options: KvmCheckOptions): Promise<KvmAnswer> {
  const deadlineMs = options.deadlineMs ?? 30_000;
  const { signal } = options.environment;
  const [command = '', ...args] = tinyGuestCommand(options.image);
  const started = Date.now();
  const qemu = execa(command, args, {
    env: options.environment.env,
    stdin: 'ignore',
    buffer: false,
    all: true,
    reject: false,
    timeout: deadlineMs,
    killSignal: 'SIGKILL',
    cancelSignal: signal,
  });
  let last = '';
  let greeted = false;
  for await (const line of createInterface({ input: qemu.all })) {
    greeted = line.includes('nested-check: hello');
    if (greeted) break;
    last = printable(line, 200) || last;
  }
  qemu.kill('SIGKILL');
  const result = await qemu;
  if (greeted)
    return { usable: true, reason: `a guest booted with KVM in ${((Date.now() - started) / 1000).toFixed(1)} s` };
  if (signal.aborted) throw new NestedCheckError('interrupted', 'interrupted while trying whether KVM runs a guest');
  if (result.code === 'ENOENT' || result.exitCode === 127) {
    throw new NestedCheckError('host', 'qemu-system-x86_64 or setpriv is missing', {
      hint: 'nested-check doctor --fix',
    });
  }
  const words = last === '' ? '' : `; its last words: ${last}`;
  if (result.timedOut)
    return { usable: false, reason: `a guest did not boot with KVM within ${deadlineMs / 1000} s${words}` };
  const how = result.signal === undefined ? `status ${result.exitCode}` : result.signal;
  return { usable: false, reason: `QEMU ended with ${how} before its guest booted with KVM${words}` };
}

async function openDevice(path: string): Promise<Device> {
  try {
    await (await open(path, constants.O_RDWR)).close();
    return 'opens';
  } catch {
    return access(path).then(
      () => 'forbidden' as const,
      () => 'absent' as const,
    );
  }
}

function memoryFile({ env }: Environment): string {
  return join(
    env['XDG_STATE_HOME'] || join(env['HOME'] || homedir(), '.local', 'state'),
    'nested-check',
    'kvm-check.json',
  );
}

async function memoryKey({ image, environment }: KvmCheckOptions, cpuinfo: string): Promise<string> {
  const qemu = await execa('qemu-system-x86_64', ['--version'], {
    reject: false,
    env: environment.env,
    timeout: 10_000,
    cancelSignal: environment.signal,
  });
  const cpu = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? 'unknown CPU';
  return [release(), qemu.stdout?.split('\n')[0] ?? 'no QEMU', cpu, image.imageDigest ?? image.folder].join(' | ');
}

/** What is damaged or of another form counts as nothing remembered. */
async function readMemory(file: string): Promise<z.output<typeof Memory>> {
  try {
    return Memory.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return {};
  }
}

async function writeMemory(file: string, memory: z.output<typeof Memory>): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const fresh = `${file}.${process.pid}`;
  await writeFile(fresh, `${JSON.stringify(memory, null, 2)}\n`);
  await rename(fresh, file);
}
