// The local host: this machine, its libvirt and its KVM.
import { access, constants, copyFile, mkdir, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import type { Image } from '../image/cache.ts';
import type { Command, HostUnderTest, Output } from './host.ts';

export interface LocalOptions {
  readonly image: Image;
  readonly environment: Environment;
  readonly reason: string;
  /** Run folder; consoles go below it. */
  readonly folder: string;
}

/** Where root's images are copied when QEMU's own user could not reach root's home. */
const SHARED_IMAGES = '/var/cache/nested-check/images';

/** Connects to this machine's libvirt. Throws NestedCheckError `host` when there is none. */
export async function openLocalHost(options: LocalOptions, signal: AbortSignal): Promise<HostUnderTest> {
  const { environment, image } = options;
  const libvirtUri = localUri(environment);
  // Without pipes: a session daemon that this call starts would hold them open for minutes.
  const hello = await execa('virsh', ['-q', '-c', libvirtUri, 'version'], {
    stdio: 'ignore',
    reject: false,
    cancelSignal: signal,
  });
  signal.throwIfAborted();
  if (hello.failed) {
    const words = await execLocal({ argv: ['virsh', '-q', '-c', libvirtUri, 'version'], timeoutMs: 30_000 }, signal);
    throw new NestedCheckError(
      'host',
      `L0: no libvirt at ${libvirtUri}: ${words.stderr.trim() || 'virsh is missing'}`,
      {
        hint: 'run `nested-check doctor --fix`, start libvirtd, set LIBVIRT_DEFAULT_URI, or use --host emulated',
      },
    );
  }
  const consoleFolder = join(options.folder, 'consoles');
  await mkdir(consoleFolder, { recursive: true });
  const folder = libvirtUri === 'qemu:///system' ? await reachableFolder(image) : image.folder;
  const inFolder = (path: string): string => (folder === image.folder ? path : join(folder, basename(path)));
  const root = inFolder(image.root);
  return {
    kind: 'local',
    reason: options.reason,
    takesGuestsAlong: false,
    level: 0,
    libvirtUri,
    bootFiles: {
      kernel: inFolder(image.kernel),
      initramfs: inFolder(image.initramfs),
      root,
      rootType: (await stat(root)).isBlockDevice() ? 'block' : 'file',
    },
    consoleFolder,
    exec: execLocal,
    async [Symbol.asyncDispose]() {},
  };
}

/**
 * LIBVIRT_DEFAULT_URI, else the system's libvirt for root and one's own session for others: in a session QEMU runs as
 * the user and can read the user's images.
 */
export function localUri(environment: Environment): string {
  return environment.env['LIBVIRT_DEFAULT_URI'] || (process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session');
}

/** Runs a command here. In a group of its own, so that a terminal's Ctrl-C reaches only us, and all of it can be ended. */
export async function execLocal(command: Command, signal: AbortSignal): Promise<Output> {
  signal.throwIfAborted();
  const [program, ...rest] = command.argv;
  const child = execa(program, rest, {
    ...(command.stdin === undefined ? { stdin: 'ignore' as const } : { input: command.stdin }),
    env: { LC_ALL: 'C' }, // what virsh says is read, so it must not be translated
    detached: true,
    reject: false,
    stripFinalNewline: false,
    maxBuffer: 64 * 1024 * 1024,
  });
  const kill = (): void => {
    end(child.pid, 'SIGTERM'); // our scripts then remove their temporary folders
    setTimeout(() => end(child.pid, 'SIGKILL'), 2000).unref();
  };
  const deadline = AbortSignal.timeout(command.timeoutMs);
  const either = AbortSignal.any([signal, deadline]);
  either.addEventListener('abort', kill, { once: true });
  const result = await child.finally(() => either.removeEventListener('abort', kill));
  signal.throwIfAborted();
  if (deadline.aborted)
    throw new NestedCheckError('timeout', `L0: ${program} ran longer than ${command.timeoutMs / 1000} s`);
  if (result.code === 'ENOENT') {
    throw new NestedCheckError('host', `L0: ${program} is not installed`, { hint: 'run `nested-check doctor --fix`' });
  }
  return { exitCode: result.exitCode ?? null, stdout: result.stdout, stderr: result.stderr };
}

/** Signals a process group, which may be gone already. */
function end(group: number | undefined, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (group !== undefined) process.kill(-group, signal);
  } catch {
    // it has ended by itself
  }
}

/** The image's folder, or a copy of it where QEMU's own user gets to: root's home is closed to others. */
async function reachableFolder(image: Image): Promise<string> {
  for (let folder = image.folder; folder !== '/'; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) !== 0) continue;
    const copy = join(SHARED_IMAGES, image.imageDigest ?? image.name);
    await mkdir(copy, { recursive: true, mode: 0o755 });
    for (const file of [image.kernel, image.initramfs, image.root]) {
      const target = join(copy, basename(file));
      const there = await access(target, constants.R_OK).then(
        () => true,
        () => false,
      );
      if (there) continue;
      await copyFile(file, `${target}.${process.pid}`, constants.COPYFILE_FICLONE);
      await rename(`${target}.${process.pid}`, target);
    }
    return copy;
  }
  return image.folder;
}
