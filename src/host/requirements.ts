// What a machine needs for nested-check, as data: how to look, what is wanted, and what mends it.
import { constants } from 'node:fs';
import { readdir, readFile, statfs } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Environment } from '../environment.ts';
import { imageCache } from '../image/cache.ts';
import type { Family } from './distribution.ts';
import {
  canAccess,
  type Finding,
  findProgram,
  GB,
  isAtLeast,
  judgeMemory,
  MEMORY,
  missing,
  nearestFolder,
  ok,
  warning,
} from './requirement-checks.ts';

/** run: any run; image: building images; local: this machine's own KVM and libvirt as the host; test: the tests. */
export type Purpose = 'run' | 'image' | 'local' | 'test';

export type Fix =
  /** `elsewhere` says where a distribution without such a package finds the program. */
  | {
      readonly kind: 'packages';
      readonly packages: Readonly<Partial<Record<Family, readonly string[]>>>;
      readonly elsewhere: string;
    }
  /** A command for a shell, or advice; never run by us. */
  | { readonly kind: 'command'; readonly command: string };

export interface Requirement {
  readonly name: string;
  readonly description: string;
  readonly neededFor: readonly Purpose[];
  readonly wanted: string;
  readonly fix: Fix;
  check(): Promise<Finding>;
}

/** Bytes that must be free for an image and for building it. */
const DISK = 3 * GB;

/**
 * Everything that is worth a look on this machine; the local host's needs only where its CPU could run guests.
 * @param root where /proc, /sys, /etc, /usr and /dev are looked for: `/`, or a captured tree in tests
 */
export async function requirements(environment: Environment, root = '/'): Promise<Requirement[]> {
  const user = currentUser();
  const cpuinfo = await readFile(join(root, 'proc/cpuinfo'), 'utf8').catch(() => '');
  const extension = /^flags\s*:.*\b(vmx|svm)\b/m.exec(cpuinfo)?.[1] ?? null;
  const localPossible = extension !== null && (await canAccess(join(root, 'dev/kvm'), constants.F_OK));
  const module = extension === 'vmx' ? 'kvm_intel' : 'kvm_amd';
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const utilLinux = { debian: ['util-linux'], fedora: ['util-linux'], arch: ['util-linux'], suse: ['util-linux'] };
  const program = (command: string, neededFor: Purpose[], description: string, fix: Fix): Requirement => ({
    name: command,
    description,
    neededFor,
    wanted: 'installed',
    fix,
    check: async () => {
      const path = await findProgram(command, environment);
      return path === null ? missing('not found') : ok(path);
    },
  });
  const packages = (byFamily: Partial<Record<Family, string[]>>, elsewhere: string): Fix => ({
    kind: 'packages',
    packages: byFamily,
    elsewhere,
  });

  const always: Requirement[] = [
    {
      name: 'node',
      description: 'runs this program',
      neededFor: ['run'],
      wanted: '20.19 or newer',
      fix: { kind: 'command', command: 'https://nodejs.org/en/download' },
      check: async () => (isAtLeast(process.versions.node, [20, 19]) ? ok : missing)(process.versions.node),
    },
    {
      name: 'qemu-system-x86_64',
      description: 'runs the emulated host, and guests',
      neededFor: ['run'],
      wanted: '7.0 or newer',
      fix: packages(
        {
          debian: ['qemu-system-x86'],
          fedora: ['qemu-system-x86-core'],
          arch: ['qemu-system-x86'],
          suse: ['qemu-x86'],
        },
        'https://www.qemu.org/download',
      ),
      check: async () => {
        const { stdout } = await execa('qemu-system-x86_64', ['--version'], {
          reject: false,
          env: environment.env,
          timeout: 10_000,
        });
        const version = /version (\d+\.\d+(\.\d+)?)/.exec(stdout ?? '')?.[1];
        if (version === undefined) return missing('not found');
        return (isAtLeast(version, [7, 0]) ? ok : missing)(version);
      },
    },
    program('flock', ['run', 'image'], 'lets one build wait for another', packages(utilLinux, 'util-linux')),
    program('setpriv', ['run', 'image'], 'ends our QEMU when we are killed', packages(utilLinux, 'util-linux')),
    program(
      'mmdebstrap',
      ['image'],
      'builds guest images',
      packages(
        { debian: ['mmdebstrap'], fedora: ['mmdebstrap'] },
        'https://gitlab.mister-muffin.de/josch/mmdebstrap (Arch: in the AUR)',
      ),
    ),
    {
      name: 'debian-archive-keyring',
      description: 'the keys that Debian packages are checked with',
      neededFor: ['image'],
      wanted: 'installed',
      fix: packages(
        { debian: ['debian-archive-keyring'], fedora: ['debian-keyring'], arch: ['debian-archive-keyring'] },
        `https://packages.debian.org/debian-archive-keyring, unpacked to ${keyring}`,
      ),
      check: async () => ((await canAccess(join(root, keyring), constants.R_OK)) ? ok(keyring) : missing('not found')),
    },
    program(
      'virsh',
      localPossible ? ['local', 'test'] : ['test'],
      'talks to libvirt',
      packages(
        { debian: ['libvirt-clients'], fedora: ['libvirt-client'], arch: ['libvirt'], suse: ['libvirt-client'] },
        'https://libvirt.org/downloads.html',
      ),
    ),
    {
      name: '/dev/kvm',
      description: "this machine's own KVM; without it guests run in an emulated host",
      neededFor: ['run'],
      wanted: 'usable, or an emulated host',
      fix: { kind: 'command', command: `sudo usermod -aG kvm ${user.username}   # then log in again` },
      check: async () => {
        const device = join(root, 'dev/kvm');
        if (!(await canAccess(device, constants.F_OK))) return ok('absent: the emulated host will be used');
        if (extension === null)
          return ok('present, but the CPU has neither vmx nor svm: the emulated host will be used');
        return (await canAccess(device, constants.R_OK | constants.W_OK))
          ? ok(`opens; the CPU has ${extension}`)
          : warning(`forbidden for ${user.username}`);
      },
    },
    {
      name: 'cache folder',
      description: 'keeps built images',
      neededFor: ['run', 'image'],
      wanted: 'writable',
      fix: { kind: 'command', command: 'set XDG_CACHE_HOME to a folder that you may write to' },
      check: async () => {
        const folder = await nearestFolder(imageCache(environment));
        return (await canAccess(folder, constants.W_OK))
          ? ok(imageCache(environment))
          : missing(`can't write to ${folder}`);
      },
    },
    {
      name: 'disk space',
      description: 'room for an image and for building it',
      neededFor: ['run', 'image'],
      wanted: `${DISK / GB} GB`,
      fix: {
        kind: 'command',
        command: 'nested-check image remove, or set XDG_CACHE_HOME to a folder on a larger disk',
      },
      check: async () => {
        const cache = imageCache(environment);
        const { bavail, bsize } = await statfs(await nearestFolder(cache));
        const built = (await readdir(cache).catch(() => [])).some((name) => /^[0-9a-f]{64}$/.test(name));
        const seen = `${((bavail * bsize) / GB).toFixed(1)} GB free`;
        return (bavail * bsize >= DISK ? ok : built ? warning : missing)(seen);
      },
    },
    {
      name: 'memory',
      description: 'room for guests in guests',
      neededFor: ['run'],
      wanted: `${MEMORY / GB} GB`,
      fix: { kind: 'command', command: 'use a machine with more memory, or end what uses it' },
      check: async () => judgeMemory(await readFile(join(root, 'proc/meminfo'), 'utf8').catch(() => '')),
    },
  ];
  const isRoot = user.uid === 0;
  const unprivileged: Requirement[] = [
    program(
      'newuidmap',
      isRoot ? ['test'] : ['image', 'test'],
      'lets users without root build images',
      packages(
        { debian: ['uidmap'], fedora: ['shadow-utils'], arch: ['shadow'], suse: ['shadow'] },
        'https://github.com/shadow-maint/shadow',
      ),
    ),
    {
      name: 'subordinate ids',
      description: 'the user ids that an image is built with',
      neededFor: isRoot ? [] : ['image'],
      wanted: `${user.username} in /etc/subuid and /etc/subgid`,
      fix: {
        kind: 'command',
        command: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${user.username}`,
      },
      check: async () => {
        const texts = await Promise.all(
          ['etc/subuid', 'etc/subgid'].map((file) => readFile(join(root, file), 'utf8').catch(() => '')),
        );
        const listed = texts.every((text) =>
          text.split('\n').some((line) => line.startsWith(`${user.username}:`) || line.startsWith(`${user.uid}:`)),
        );
        return listed ? ok('present') : missing('no entry');
      },
    },
  ];
  const local: Requirement[] = [
    program(
      'libvirtd',
      ['local'],
      'starts guests on this machine',
      packages(
        {
          debian: ['libvirt-daemon-system', 'libvirt-daemon-driver-qemu'],
          fedora: ['libvirt-daemon-kvm'],
          arch: ['libvirt'],
          suse: ['libvirt-daemon-qemu'],
        },
        'https://libvirt.org/downloads.html',
      ),
    ),
    {
      name: `${module} nested`,
      description: 'lets guests of this machine run guests',
      neededFor: ['local'],
      wanted: '1',
      fix: {
        kind: 'command',
        command: `echo 'options ${module} nested=1' | sudo tee /etc/modprobe.d/nested-check.conf   # then reboot`,
      },
      check: async () => {
        const value = await readFile(join(root, `sys/module/${module}/parameters/nested`), 'utf8').catch(() => null);
        if (value === null) return warning(`${module} is not loaded`);
        return (/^[1Y]/.test(value) ? ok : warning)(value.trim());
      },
    },
  ];
  return [...always, ...unprivileged, ...(localPossible ? local : [])];
}

/** In a container the user may have no entry in /etc/passwd. */
function currentUser(): { uid: number; username: string } {
  try {
    return userInfo();
  } catch {
    const uid = process.getuid?.() ?? 0;
    return { uid, username: String(uid) };
  }
}
