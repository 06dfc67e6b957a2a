// --dry-run: what would be run. RUN and DIGEST stand for what only a real run knows.
import { domainXml } from '../domain/domain-xml.ts';
import type { Environment } from '../environment.ts';
import type { HostRequest } from '../host/choose.ts';
import { emulatedHostCommand, OWN_MIB } from '../host/emulated.ts';
import { localUri } from '../host/local.ts';
import { checkImage, imageCache } from '../image/cache.ts';
import { domainName } from '../run/case.ts';
import type { Case } from '../scenario/plan.ts';

/** Prints each level's domain XML and the command that starts it. Boots and builds nothing. */
export async function dryRun(cases: readonly Case[], request: HostRequest, environment: Environment): Promise<number> {
  const { stdout } = environment;
  for (const name of new Set(cases.map((each) => each.image))) await checkImage(name, environment);
  for (const each of cases) {
    stdout.write(
      `# ${each.id}: L1${each.levels.length > 1 ? ` to L${each.levels.length}` : ''}, image ${each.image}\n`,
    );
    const folder = `${imageCache(environment)}/DIGEST`;
    const image = { kernel: `${folder}/vmlinuz`, initramfs: `${folder}/initramfs.img`, root: `${folder}/root.erofs` };
    if (request.kind !== 'local') {
      const [first] = each.levels;
      const command = emulatedHostCommand({
        image,
        cpu: request.kind === 'emulated' ? request.cpu : 'max',
        memoryMiB: (first?.memoryMiB ?? 0) + OWN_MIB,
        vcpus: 1,
        folder: 'RUN/host',
      });
      const condition = request.kind === 'auto' ? ', where KVM can not be used here' : '';
      stdout.write(
        `\n# L0: the emulated host${condition}; file descriptor 3 is a socket to its agent\n${command.map(shellWord).join(' ')}\n`,
      );
    }
    for (const level of each.levels) {
      const isLocal = level.level === 1 && request.kind === 'local';
      const name = domainName('RUN', each.id, level.level);
      const xml = domainXml({
        name,
        accelerator: 'kvm',
        plan: level,
        lease: { run: 'RUN', case: each.id, level: level.level, pid: 0, startTime: '0' },
        ...(isLocal
          ? { ...image, rootType: 'file' }
          : { kernel: '/boot/vmlinuz', initramfs: '/boot/initramfs.img', root: '/dev/vda', rootType: 'block' }),
        kernelWords: [],
        console: `/run/nested-check/${name}.console`,
      });
      const uri = isLocal ? localUri(environment) : 'qemu:///system';
      stdout.write(
        `\n# L${level.level}, started in L${level.level - 1} with: virsh -c ${uri} create ${name}.xml\n${xml}`,
      );
    }
  }
  return 0;
}

/** A word as a person can paste it into a shell; nothing is ever run from this. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
