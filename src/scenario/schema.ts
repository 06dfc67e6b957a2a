// The shape of a scenario file. The types, the checks and scenarios/scenario.schema.json all come from here.
import { z } from 'zod';
import { CpuRequest } from '../cpu/request.ts';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'must be lower case letters, digits and dashes');

/** Memory as a scenario writes it (`768 MiB`, `2 GiB`), read as MiB. */
const Memory = z
  .string()
  .regex(/^\d+ ?(MiB|GiB)$/, 'must be a number with MiB or GiB, such as `768 MiB`')
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('GiB') ? 1024 : 1));

/** A time as a scenario writes it (`90 s`, `5 min`), read as seconds. */
const Duration = z
  .string()
  .regex(/^\d+ ?(s|min)$/, 'must be a number with s or min, such as `90 s`')
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('min') ? 60 : 1));

const Expectations = z
  .strictObject({
    virtualization: z
      .union([z.boolean(), z.enum(['vmx', 'svm'])])
      .optional()
      .describe('does the guest see vmx or svm?'),
    'kvm-device': z.boolean().optional().describe('can /dev/kvm be opened in the guest?'),
    nested: z.boolean().optional().describe("is the nested parameter of the guest's kvm module on?"),
    flags: z
      .strictObject({ present: z.array(z.string()).optional(), absent: z.array(z.string()).optional() })
      .optional()
      .describe('CPU flags as the guest kernel names them'),
    'model-name': z.string().optional().describe('text that the model name in /proc/cpuinfo must contain'),
    dmesg: z.enum(['clean', 'any']).optional().describe('clean: no KVM error, oops or panic in the kernel log'),
  })
  .describe('what must be true inside this level; what is not named is judged by default rules');

const Level = z.strictObject({
  cpu: CpuRequest.optional().describe('guest CPU; default host-passthrough'),
  vcpus: z.int().min(1).max(512).optional().describe('default 1'),
  memory: Memory.optional().describe('default: as much as the levels below need'),
  machine: name.optional().describe('QEMU machine type as libvirt names it; default q35'),
  expect: Expectations.optional(),
});

export const Scenario = z.strictObject({
  name: name.describe('how the scenario is called on the command line'),
  description: z.string().min(1),
  tags: z.array(name).default([]).describe('`default` marks what a bare `nested-check run` runs'),
  image: name.default('debian-12').describe('guest image'),
  depth: z
    .union([
      z
        .int()
        .min(1)
        .max(16)
        .transform((n) => ({ 'at-least': n, try: n })),
      z.strictObject({ 'at-least': z.int().min(1).max(16), try: z.int().min(1).max(16) }),
    ])
    .optional()
    .describe('how many levels; `{at-least: 2, try: 4}` goes as deep as it can. Default: one for each entry of levels'),
  levels: z
    .array(Level)
    .min(1)
    .default([{}])
    .describe('level 1, level 2, …; the last entry repeats when depth is greater'),
  timeouts: z
    .strictObject({
      boot: Duration.optional().describe('from starting a guest to its agent answering, each level'),
      probe: Duration.optional().describe('one round of probes in a level'),
      case: Duration.optional().describe('the whole case'),
    })
    .default({}),
});

export type Scenario = z.output<typeof Scenario>;
export type Expectations = z.output<typeof Expectations>;
