// What a schema found wrong, in words for the person who wrote the file.
import { z } from 'zod';
import { printable } from '../report/printable.ts';
import { nearest } from './nearest.ts';

/** One thing wrong with a value. `path` leads to it from the top; `key` is true when the key itself is wrong. */
export interface SchemaProblem {
  readonly path: readonly PropertyKey[];
  readonly key: boolean;
  readonly message: string;
}

/**
 * All problems of `value` by `schema`, as plain words; or the value as the schema gives it back.
 * Messages that a schema states itself (`z.string('must be …')`) are kept and told with the key's name.
 */
export function check<S extends z.ZodType>(
  schema: S,
  value: unknown,
): { kind: 'value'; value: z.output<S> } | { kind: 'problems'; problems: SchemaProblem[] } {
  const result = schema.safeParse(value, { reportInput: true, error: wording });
  if (result.success) return { kind: 'value', value: result.data };
  return { kind: 'problems', problems: result.error.issues.flatMap((issue) => problemsOf(issue, [])) };
}

/** Default messages, for what the schema has no words of its own. */
function wording(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${TYPES[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return UNKNOWN_VALUE;
    case 'too_small':
      return typeof issue.input === 'number' ? `must be ${issue.minimum} or more` : 'must not be empty';
    case 'too_big':
      return typeof issue.input === 'number'
        ? `must be ${issue.maximum} or less`
        : `must have no more than ${issue.maximum} entries`;
    case 'unrecognized_keys':
      // The finished issue no longer says which keys there are, so its message carries them.
      return issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape).join(' ') : '';
    default:
      return undefined;
  }
}

const UNKNOWN_VALUE = 'unknown value';
const TEXT = 'text';
const TYPES: Readonly<Record<string, string>> = {
  string: TEXT,
  int: 'a whole number',
  number: 'a whole number',
  boolean: 'true or false',
  array: 'a list (`- …`)',
  object: 'a mapping (`key: value`)',
  record: 'a mapping (`key: value`)',
};

function problemsOf(issue: z.core.$ZodIssue, above: readonly PropertyKey[]): SchemaProblem[] {
  const path = [...above, ...issue.path];
  const because = (message: string, key = false) => [{ path, key, message: `${label(path)}${message}` }];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const message = `unknown key ${shown(key)}; ${choices(issue.message.split(' '), key)}`;
        return { path: [...path, key], key: true, message };
      });
    case 'invalid_union':
      return unionProblems(issue, path);
    case 'invalid_key':
      return because(issue.issues[0]?.message ?? 'is no good name', true);
    case 'custom':
      return because(issue.message);
    case 'invalid_value':
      if (issue.input === null) return because('has no value');
      if (issue.input !== undefined && !issue.message.startsWith('unknown ')) return because(issue.message);
      if (issue.input !== undefined) {
        return because(`${issue.message} ${shown(issue.input)}; ${choices(issue.values, issue.input)}`);
      }
      break;
    default:
  }
  if (issue.input === undefined) {
    return [{ path: path.slice(0, -1), key: true, message: `${shown(path.at(-1))} is missing` }];
  }
  if (issue.input === null) return because('has no value');
  if (issue.code === 'too_small' && typeof issue.input !== 'number') return because(issue.message);
  const quotes = issue.message === `must be ${TEXT}` && typeof issue.input !== 'object' ? '; put it in quotes' : '';
  return because(`${issue.message}, not ${shown(issue.input)}${quotes}`);
}

/** A short form or a mapping: only the branch that the writer had in mind is worth reading about. */
function unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: readonly PropertyKey[]): SchemaProblem[] {
  const [meant, ...more] = issue.errors.filter((branch) => !branch.some(isOtherType));
  if (meant !== undefined && more.length === 0) return meant.flatMap((each) => problemsOf(each, path));
  const forms = issue.errors.flatMap(([first]) => {
    if (first?.code === 'invalid_value') return `one of ${first.values.map(String).join(', ')}`;
    return first?.code === 'invalid_type' ? (TYPES[first.expected] ?? first.expected) : [];
  });
  const message = issue.input === null ? 'has no value' : `must be ${forms.join(' or ')}, not ${shown(issue.input)}`;
  return [{ path, key: false, message: `${label(path)}${message}` }];
}

function isOtherType(issue: z.core.$ZodIssue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_type') return issue.expected !== 'int';
  return issue.code === 'invalid_value' && !issue.values.some((value) => typeof value === typeof issue.input);
}

function choices(values: readonly z.core.util.Primitive[], given: unknown): string {
  const words = values.map(String);
  const guess = nearest(String(given), words);
  return `one of ${words.join(', ')}${guess === null ? '' : `; did you mean ${shown(guess)}?`}`;
}

/** `cpu: `, or `levels: entry 2 ` in a list; nothing at the top. */
function label(path: readonly PropertyKey[]): string {
  const last = path.at(-1);
  if (last === undefined) return 'a scenario ';
  const list = typeof last === 'number' ? path.at(-2) : undefined;
  return list === undefined ? `${String(last)}: ` : `${String(list)}: entry ${Number(last) + 1} `;
}

/** A value as it may be shown: short, on one line. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'a mapping' : `\`${printable(String(value), 60)}\``;
}
