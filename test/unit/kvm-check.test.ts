import { describe, expect, test } from 'vitest';
import { refusalOf, tinyGuestCommand } from '../../src/host/kvm-check.ts';

describe('which machines need no try', () => {
  const amd = 'processor\t: 0\nflags\t\t: fpu svm npt\n\nprocessor\t: 1\nflags\t\t: fpu svm npt\n';
  const plain = 'processor\t: 0\nflags\t\t: fpu svm_lock\n';

  test('with vmx or svm and a device that opens, a guest has to be tried', () => {
    expect(refusalOf(amd, 'opens')).toBeNull();
    expect(refusalOf('flags : vmx', 'opens')).toBeNull();
  });

  test('a device that opens does not make up for the missing flag', () => {
    expect(refusalOf(plain, 'opens')).toBe('the CPU has neither vmx nor svm, although /dev/kvm opens');
    expect(refusalOf(plain, 'absent')).toBe('the CPU has neither vmx nor svm');
  });

  test('what stands in the way where the CPU could', () => {
    expect(refusalOf(amd, 'absent')).toBe('the CPU has svm, but there is no /dev/kvm (is the kvm module loaded?)');
    expect(refusalOf(amd, 'forbidden')).toContain('may not open /dev/kvm');
  });

  test('no flags at all: another architecture, or no /proc', () => {
    expect(refusalOf('', 'absent')).toBe("the CPU's flags can't be read");
    expect(refusalOf('Features : fp asimd\n', 'opens')).toBe("the CPU's flags can't be read, although /dev/kvm opens");
  });
});

test('the tiny guest dies with us, and has neither disk nor network', () => {
  const image = {
    name: 'x',
    recipeDigest: null,
    imageDigest: null,
    folder: '/i',
    kernel: '/i/vmlinuz',
    initramfs: '/i/initramfs.img',
    root: '/i/root.erofs',
    manifest: null,
  };
  const command = tinyGuestCommand(image);
  expect(command.slice(0, 4)).toEqual(['setpriv', '--pdeathsig', 'KILL', 'qemu-system-x86_64']);
  expect(command.join(' ')).toContain('-accel kvm -cpu host');
  expect(command.join(' ')).toContain('nested_check.hello=1');
  expect(command).toContain('-nodefaults');
});
