// The shape of a scenario file. The types, the checks and scenarios/scenario.schema.json all come from here.
import { z } from 'zod';
import { CpuRequest } from '../cpu/request.ts';
import { MAX_DEPTH } from './limits.ts';

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'must be lower case letters, digits and dashes');
const libvirtName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be a name as libvirt spells it');
const flag = z.string().regex(/^[a-z0-9_]{1,32}$/, 'must be a CPU flag as /proc/cpuinfo spells it, such as sse4_1');

/** Memory as a scenario writes it (`768 MiB`, `2 GiB`), read as MiB. */
const MEMORY = 'must be a number with MiB or GiB, such as 768 MiB';
const Memory = z
  .string(MEMORY)
  .regex(/^[1-9]\d{0,6} ?(MiB|GiB)$/, MEMORY)
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('GiB') ? 1024 : 1));

/** A time as a scenario writes it (`90 s`, `5 min`), read as seconds. */
const DURATION = 'must be a number with s or min, such as 90 s';
const Duration = z
  .string(DURATION)
  .regex(/^[1-9]\d{0,5} ?(s|min)$/, DURATION)
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('min') ? 60 : 1));

const Flags = z
  .strictObject({ present: z.array(flag).optional(), absent: z.array(flag).optional() })
  .superRefine((flags, context) => {
    for (const [index, each] of (flags.absent ?? []).entries()) {
      if (flags.present?.includes(each) === true) {
        const message = `(${each}) is in present as well`;
        context.addIssue({ code: 'custom', path: ['absent', index], message });
      }
    }
  });

const Expectations = z
  .strictObject({
    virtualization: z
      .literal([true, false, 'vmx', 'svm'])
      .optional()
      .describe('does the guest see vmx or svm? true: either of them'),
    'kvm-device': z.boolean().optional().describe('can /dev/kvm be opened in the guest?'),
    nested: z.boolean().optional().describe("is the nested parameter of the guest's kvm module on?"),
    flags: Flags.optional().describe('CPU flags as the guest kernel names them'),
    'model-name': z.string().min(1).optional().describe('text that the model name in /proc/cpuinfo must contain'),
    dmesg: z.enum(['clean', 'any']).optional().describe('clean: no KVM error, oops or panic in the kernel log'),
  })
  .describe('what must be true inside this level; what is not named is judged by default rules');

const Level = z
  .strictObject({
    cpu: CpuRequest.optional().describe('guest CPU: a libvirt cpu mode, or an object; default host-passthrough'),
    vcpus: z.int().min(1).max(512).optional().describe("default: what the cpu's topology says, else 1"),
    memory: Memory.optional().describe('default: as much as the levels below need'),
    machine: libvirtName.optional().describe('QEMU machine type as libvirt names it; default q35'),
    expect: Expectations.optional(),
  })
  .superRefine((level, context) => {
    const topology = level.cpu?.topology;
    if (topology === undefined || level.vcpus === undefined) return;
    const places = vcpusOf(topology);
    if (places !== level.vcpus) {
      const message = `${level.vcpus} vCPUs don't fit the cpu's topology, which makes ${places}`;
      context.addIssue({ code: 'custom', path: ['vcpus'], message });
    }
  });

const levelCount = z.int().min(1).max(MAX_DEPTH);

const Depth = z.union([
  levelCount.transform((n) => ({ 'at-least': n, try: n })),
  z
    .strictObject({
      'at-least': levelCount.describe('levels that must come up, or the case fails'),
      try: levelCount.describe('levels to try for; the report says where it stopped and why'),
    })
    .refine((depth) => depth.try >= depth['at-least'], { path: ['try'], error: 'must not be less than at-least' }),
]);

const ScenarioObject = z.strictObject({
  name: name.describe('how the scenario is called on the command line; unique in a run'),
  description: z.string().trim().min(1).describe('what it proves; `nested-check list` shows the first line'),
  tags: z.array(name).default([]).describe('`default` marks what a bare `nested-check run` runs'),
  image: name.default('debian-12').describe('guest image, as in `nested-check image list`'),
  depth: Depth.optional().describe(
    'how many levels; `{at-least: 2, try: 4}` goes as deep as it can. Default: one for each entry of levels',
  ),
  levels: z
    .array(Level)
    .min(1)
    .max(MAX_DEPTH)
    .default([{}])
    .describe('level 1, level 2, …; the last entry repeats when depth is greater'),
  timeouts: z
    .strictObject({
      boot: Duration.optional().describe('from starting a guest to its agent answering, each level'),
      probe: Duration.optional().describe('one round of probes in a level'),
      case: Duration.optional().describe('the whole case'),
    })
    .default({})
    .describe('each has a default that fits the accelerator'),
});

/** A scenario file. Input side: YAML as a person writes it; output side: defaults filled in, MiB and seconds. */
export const Scenario = ScenarioObject.superRefine(checkLevels, {
  // Also when something else is wrong, so that all problems of a file are told at once.
  when: ({ issues }) =>
    issues.every(({ code, path }) =>
      path === undefined || path.length === 0
        ? code === 'unrecognized_keys'
        : path[0] !== 'depth' && path[0] !== 'levels',
    ),
}).meta({
  title: 'nested-check scenario',
  description: 'One claim about nested guests: which levels to boot, and what must be true inside each of them',
});

export type Scenario = z.output<typeof ScenarioObject>;
export type Expectations = z.output<typeof Expectations>;

/** How many vCPUs a topology has room for. */
export function vcpusOf(topology: {
  sockets: number;
  dies?: number | undefined;
  cores: number;
  threads: number;
}): number {
  return topology.sockets * (topology.dies ?? 1) * topology.cores * topology.threads;
}

function checkLevels(scenario: Scenario, context: z.RefinementCtx): void {
  const { depth, levels } = scenario;
  if (depth !== undefined && levels.length > depth.try) {
    const message = `is never used: the depth is ${depth.try}`;
    context.addIssue({ code: 'custom', path: ['levels', depth.try], message });
  }
  for (const [index, inner] of levels.entries()) {
    const outer = levels[index - 1];
    if (outer?.memory === undefined || inner.memory === undefined || outer.memory > inner.memory) continue;
    const message = `level ${index + 1} (${inner.memory} MiB) does not fit into level ${index} (${outer.memory} MiB)`;
    context.addIssue({ code: 'custom', path: ['levels', index, 'memory'], message });
  }
}
