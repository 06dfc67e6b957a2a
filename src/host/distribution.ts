// Which package manager this machine has, and the commands that install something with it.

/** Kinds of Linux distribution whose packages we can name. */
export type Family = 'debian' | 'fedora' | 'arch' | 'suse';

export interface Distribution {
  /** As it calls itself, such as `Debian GNU/Linux 12 (bookworm)`. */
  readonly name: string;
  /** Null: one whose package names we don't know. */
  readonly family: Family | null;
}

const FAMILIES: Readonly<Record<string, Family>> = {
  debian: 'debian',
  ubuntu: 'debian',
  fedora: 'fedora',
  rhel: 'fedora',
  centos: 'fedora',
  arch: 'arch',
  suse: 'suse',
  opensuse: 'suse',
  sles: 'suse',
  'opensuse-leap': 'suse',
  'opensuse-tumbleweed': 'suse',
};

/** Reads the text of /etc/os-release, see os-release(5): ID first, then what it says it is like. */
export function parseOsRelease(text: string): Distribution {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(.*)$/.exec(line.trim());
    if (match) values.set(match[1] as string, (match[2] as string).replace(/^(["'])(.*)\1$/, '$2'));
  }
  const ids = [values.get('ID') ?? '', ...(values.get('ID_LIKE') ?? '').split(/\s+/)];
  const family = ids.map((id) => FAMILIES[id]).find((found) => found !== undefined) ?? null;
  return { name: values.get('PRETTY_NAME') ?? values.get('ID') ?? 'unknown', family };
}

/**
 * The commands that install packages, each as argv, to be run one after the other.
 * @param privilege what goes in front to become root: empty or `['sudo']`
 */
export function installCommands(family: Family, packages: readonly string[], privilege: readonly string[]): string[][] {
  switch (family) {
    case 'debian': {
      // another apt may be running, as after booting: wait for it rather than fail
      const apt = [...privilege, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=300'];
      return [
        [...apt, 'update'],
        [...apt, 'install', '-y', '--no-install-recommends', ...packages],
      ];
    }
    case 'fedora':
      return [[...privilege, 'dnf', 'install', '-y', '--setopt=install_weak_deps=False', ...packages]];
    case 'arch':
      return [[...privilege, 'pacman', '-S', '--needed', '--noconfirm', ...packages]];
    case 'suse':
      return [[...privilege, 'zypper', '--non-interactive', 'install', '--no-recommends', ...packages]];
  }
}
