// YAML text in, a scenario or everything that is wrong with the text out. Touches no file.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import { printable } from '../report/printable.ts';
import { check } from './problems.ts';
import { Scenario } from './schema.ts';

/** Where in a file: both count from 1, columns in UTF-16 units as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Problem extends Position {
  readonly message: string;
}

/** `position` is that of the scenario's name. */
export type Parsed =
  | { readonly kind: 'scenario'; readonly scenario: Scenario; readonly position: Position }
  | { readonly kind: 'problems'; readonly problems: readonly Problem[] };

/** More aliases than any scenario has use for: what they cost grows with their square. */
const MAX_ALIASES = 100;
/** More problems than anybody reads at once. */
const MAX_PROBLEMS = 100;

/** Reads a scenario. Never throws: whatever is wrong with `text` is among the problems, in the order of the text. */
export function parseScenario(text: string): Parsed {
  const lines = new LineCounter();
  const at = (offset: number, message: string): Problem => {
    const { line, col } = lines.linePos(Math.max(0, offset));
    return { line: Math.max(1, line), column: Math.max(1, col), message: printable(message) };
  };
  let document: Document.Parsed;
  let value: unknown;
  const problems: Problem[] = [];
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: false, logLevel: 'error' });
    const aliases = badAliases(document);
    problems.push(
      ...[...document.errors, ...document.warnings]
        .slice(0, MAX_PROBLEMS)
        .map((each) => at(each.pos[0], yamlMessage(each, text))),
      ...aliases.map(({ offset, message }) => at(offset, message)),
    );
    if (aliases.length > 0 || document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) {
      return { kind: 'problems', problems: inOrder(problems) };
    }
    value = document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    // yaml throws for aliases that lead nowhere or too far, and runs out of stack on thousands of brackets.
    return { kind: 'problems', problems: inOrder([...problems, at(0, thrownMessage(error))]) };
  }
  if (value === null && problems.length === 0) {
    return { kind: 'problems', problems: [at(0, 'nothing in it; a scenario has at least a name and a description')] };
  }
  const checked = check(Scenario, value);
  if (checked.kind === 'problems') {
    problems.push(
      ...checked.problems
        .slice(0, MAX_PROBLEMS)
        .map(({ path, key, message }) => at(offsetOf(document, path, key), message)),
    );
  }
  if (checked.kind === 'problems' || problems.length > 0) return { kind: 'problems', problems: inOrder(problems) };
  const { line, column } = at(offsetOf(document, ['name'], false), '');
  return { kind: 'scenario', scenario: checked.value, position: { line, column } };
}

/** Aliases without an anchor; or, where there are too many aliases altogether, the first one too many. */
function badAliases(document: Document.Parsed): { offset: number; message: string }[] {
  const aliases: Alias[] = [];
  visit(document, {
    Alias(_, alias) {
      aliases.push(alias);
      return aliases.length > MAX_ALIASES ? visit.BREAK : undefined;
    },
  });
  const excess = aliases[MAX_ALIASES];
  if (excess !== undefined) return [{ offset: startOf(excess) ?? 0, message: 'too many aliases' }];
  return aliases
    .filter((alias) => alias.resolve(document) === undefined)
    .map((alias) => ({ offset: startOf(alias) ?? 0, message: `no anchor &${alias.source} before this alias` }));
}

/** Where the value at `path` begins, or its key; as near as the document has it. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[], wantKey: boolean): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, part] of path.entries()) {
    const inside = isAlias(node) ? node.resolve(document) : node;
    if (isSeq(inside)) {
      node = inside.items[Number(part)];
      offset = (isNode(node) ? node.range?.[0] : null) ?? offset;
    } else if (isMap(inside)) {
      const pair = inside.items.find(({ key }) => String(isScalar(key) ? (key.value ?? '') : key) === String(part));
      if (pair === undefined) break;
      const last = index === path.length - 1;
      node = pair.value;
      offset = (wantKey && last ? null : startOf(node)) ?? startOf(pair.key) ?? offset;
    } else break;
  }
  return offset;
}

/** Null for what is not written at all, such as the value in `cpu:`. */
function startOf(node: unknown): number | null {
  if (!isNode(node) || node.range == null || (isScalar(node) && node.source === '' && node.value === null)) return null;
  return node.range[0];
}

function yamlMessage({ code, message, pos }: YAMLError, text: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return `key given twice: ${/^[^\n:,\]}]*/.exec(text.slice(pos[0], pos[0] + 60))?.[0].trim()}`;
    case 'MULTIPLE_DOCS':
      return 'a second document begins here; write one scenario per file';
    case 'TAG_RESOLVE_FAILED':
      return `a tag that means nothing here: ${message}`;
    default:
      return message.includes('call stack') ? TOO_DEEP : `not YAML: ${message}`;
  }
}

const TOO_DEEP = 'brackets nested too deeply';

function thrownMessage(error: unknown): string {
  if (error instanceof RangeError) return TOO_DEEP;
  const message = error instanceof Error ? error.message : String(error);
  return /^Excessive alias/.test(message) ? 'its aliases expand to far too much' : `not YAML: ${message}`;
}

function inOrder(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return [...problems]
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .filter(({ line, column, message }) => {
      const id = `${line}:${column} ${message}`;
      return !seen.has(id) && seen.add(id);
    });
}
