/** Reads a manifest: YAML (JSON is YAML), checked against the published schema; problems name their place. */
import fs from 'node:fs';
import path from 'node:path';
import type { ErrorObject } from 'ajv';
import { Ajv } from 'ajv';
import type { Alias, Document, Node } from 'yaml';
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { RevenantError } from '../../engine/base/errors.js';
import { projectRoot } from '../../engine/base/native-folder.js';
import { reasonOf } from '../../engine/base/system-errors.js';
import { nearMisses } from '../../engine/symbols/near.js';
import { seconds } from './units.js';
import type { Manifest } from './types.js';

/** The published schema. */
export const SCHEMA_FILE = path.join(projectRoot, 'schema/ci-manifest.schema.json');

/** What people write is a few kilobytes. */
const MOST_BYTES = 16 * 1024 ** 2;
/** How often aliases may be expanded: an alias of aliases of aliases is a bomb (yaml's own limit is 100 of each). */
const MOST_ALIASES = 1000;

/** Most errors that are reported for one file: one mistake causes many. */
const MOST_PROBLEMS = 10;

export interface ReadManifest {
  /** Absolute. */
  file: string;
  manifest: Manifest;
  /** Line of an entry of `traces`, from 1. */
  lineOfEntry: (index: number) => number;
  /** `FILE:LINE:COLUMN` of the innermost node on a path such as `['traces', '0', 'expect']`. */
  placeOf: (keys: readonly string[]) => string;
}

/** Throws E_MANIFEST naming file, line and column of each problem. */
export function readManifest(file: string): ReadManifest {
  let text: string;
  try {
    const { size } = fs.statSync(file);
    if (size > MOST_BYTES)
      throw new RevenantError(
        'E_MANIFEST',
        `The manifest ${file} is too large: ${size} bytes of ${MOST_BYTES}.`,
      );
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof RevenantError) throw error;
    throw new RevenantError('E_MANIFEST', `Cannot read the manifest ${file}: ${reasonOf(error)}.`);
  }
  return parseManifest(text, file);
}

/** The same for a text; `file` is for messages and for what is relative to it. */
export function parseManifest(text: string, file: string): ReadManifest {
  const lines = new LineCounter();
  const place = (at: number): string => {
    const { line, col } = lines.linePos(at);
    return `${file}:${line || 1}:${col || 1}`;
  };
  try {
    return checked(parseDocument(text, { lineCounter: lines }), lines, place, file);
  } catch (error) {
    if (error instanceof RevenantError) throw error;
    // Nested too deeply for the parser, or for the validation.
    throw bad([`${place(0)}: it cannot be made sense of: ${(error as Error).message.split('\n')[0]}`]);
  }
}

function checked(
  document: ReturnType<typeof parseDocument>,
  lines: LineCounter,
  place: (at: number) => string,
  file: string,
): ReadManifest {
  if (document.errors.length > 0) {
    throw bad(document.errors.map((error) => `${place(error.pos[0])}: ${error.message.split('\n')[0]}`));
  }
  const problems = schemaProblems(valueOf(document, place)).map(({ keys, key, text: said }) => {
    const node = (key === undefined ? null : keyNode(document, [...keys, key])) ?? nearest(document, keys);
    return `${place(node?.range?.[0] ?? 0)}: ${dotted(keys)}${said}`;
  });
  if (problems.length > 0) throw bad(problems);
  const at = (keys: readonly string[]): number => nearest(document, keys)?.range?.[0] ?? 0;
  return {
    file: path.resolve(file),
    manifest: document.toJS() as Manifest,
    lineOfEntry: (index) => lines.linePos(at(['traces', String(index)])).line,
    placeOf: (keys) => place(at(keys)),
  };
}

/** The document as plain data; what its aliases make of it is a tree of a bounded size. */
function valueOf(document: ReturnType<typeof parseDocument>, place: (at: number) => string): unknown {
  let first: Alias | null = null;
  visit(document, {
    Alias: (_key, alias) => {
      first ??= alias;
    },
  });
  try {
    const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES });
    // An alias of what it is in makes a circle, which no JSON has.
    if (first !== null) JSON.stringify(value);
    return value;
  } catch (error) {
    const at = (first as Alias | null)?.range?.[0] ?? 0;
    throw bad([`${place(at)}: aliases: ${(error as Error).message.split('\n')[0]}`]);
  }
}

function bad(problems: string[]): RevenantError {
  const shown = problems.slice(0, MOST_PROBLEMS);
  if (shown.length < problems.length) shown.push(`and ${problems.length - shown.length} more`);
  return new RevenantError(
    'E_MANIFEST',
    `The manifest is wrong:\n${shown.map((line) => `  ${line}`).join('\n')}`,
    `The schema is ${SCHEMA_FILE}.`,
  );
}

/** The key of a property, where it is written. */
function keyNode(document: Document, keys: readonly string[]): Node | null {
  const map: unknown = document.getIn(numbered(keys.slice(0, -1)), true) ?? document.contents;
  if (!isMap(map)) return null;
  const pair = map.items.find(({ key }) => isScalar(key) && key.value === keys[keys.length - 1]);
  return isNode(pair?.key) ? pair.key : null;
}

const numbered = (keys: readonly string[]): (string | number)[] =>
  keys.map((key) => (/^\d+$/.test(key) ? Number(key) : key));

/** The innermost node on a path. */
function nearest(document: Document, keys: readonly string[]): Node | null {
  for (let length = keys.length; length > 0; length--) {
    const node: unknown = document.getIn(numbered(keys.slice(0, length)), true);
    if (isNode(node)) return node;
  }
  return document.contents as Node | null;
}

/** `traces[0].expect.status: `; empty for the root. */
function dotted(keys: readonly string[]): string {
  const text = keys.map((key) => (/^\d+$/.test(key) ? `[${key}]` : `.${key}`)).join('');
  return text === '' ? '' : `${text.replace(/^\./, '')}: `;
}

interface SchemaProblem {
  keys: string[];
  /** The property of the node at `keys` whose key the error is about. */
  key?: string;
  text: string;
}

function schemaProblems(value: unknown): SchemaProblem[] {
  const schema = JSON.parse(fs.readFileSync(SCHEMA_FILE, 'utf8')) as object;
  const validate = new Ajv({ allErrors: true, verbose: true, strict: false }).compile(schema);
  if (validate(value)) return extraProblems(value as Manifest);
  const errors = validate.errors ?? [];
  const all = errors.map((error) => ({
    keys: error.instancePath.split('/').slice(1).map(unescapePointer),
    error,
  }));
  // Each alternative of a union reports errors: the one with the deepest position was meant, the others are noise.
  const telling = all.filter(
    ({ keys, error }) =>
      !COMBINING.has(error.keyword) &&
      !all.some((other) => other.keys.length > keys.length && startsWith(other.keys, keys)),
  );
  const chosen = telling.length > 0 ? telling : all;
  const texts = chosen.map(({ keys, error }) => {
    const params = error.params as { additionalProperty?: string };
    return { keys, key: params.additionalProperty, text: sentence(error) };
  });
  return texts.filter(
    ({ keys, text }, at) =>
      texts.findIndex((other) => dotted(other.keys) === dotted(keys) && other.text === text) === at,
  );
}

const COMBINING = new Set(['oneOf', 'anyOf', 'allOf', 'not', 'if']);
const startsWith = (keys: string[], prefix: string[]): boolean => prefix.every((key, at) => keys[at] === key);
const unescapePointer = (key: string): string => key.replaceAll('~1', '/').replaceAll('~0', '~');

function sentence(error: ErrorObject): string {
  const { keyword, message, params, data, parentSchema } = error;
  const shown = JSON.stringify(data) ?? 'nothing';
  const found = shown.length > 60 ? '' : `; found ${shown}`;
  switch (keyword) {
    case 'additionalProperties': {
      const known = Object.keys((parentSchema?.properties as object | undefined) ?? {});
      const unknown = String(params.additionalProperty);
      return `unknown property "${unknown}"${meant(unknown, known)} (known: ${known.join(', ')})`;
    }
    case 'enum': {
      const allowed = (params.allowedValues as unknown[]).map(String);
      return `must be one of ${allowed.join(', ')}${found}${meant(String(data), allowed)}`;
    }
    case 'oneOf':
    case 'anyOf':
    case 'not':
      return `${alternatives(parentSchema)}${found}`;
    default:
      return `${message ?? 'is wrong'}${keyword === 'required' ? '' : found}`;
  }
}

/** `; did you mean "timeout"?`, or '' if no name is similar. */
export function meant(word: string, known: readonly string[]): string {
  const [near] = nearMisses(word, known);
  return near === undefined ? '' : `; did you mean "${near}"?`;
}

/** A question is the only object with mutually exclusive fields. */
function alternatives(schema: object | undefined): string {
  const { properties, description } = (schema ?? {}) as { properties?: object; description?: string };
  if (properties && 'call' in properties) {
    return 'a question has one of `expression` or `memory` (with equals, contains or matches) or `call` (with output)';
  }
  if (properties && 'signal' in properties) return '`status` and `signal` exclude each other';
  return `is not as described: ${description ?? 'see the schema'}`;
}

/** What a schema cannot say. */
function extraProblems(manifest: Manifest): SchemaProblem[] {
  const found: SchemaProblem[] = [];
  const walk = (value: unknown, keys: string[]): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      const text = scalarProblem(key, inner);
      if (text !== null) found.push({ keys: [...keys, key], text });
      else walk(inner, [...keys, key]);
    }
  };
  walk(manifest, []);
  return found;
}

function scalarProblem(key: string, value: unknown): string | null {
  if (key === 'matches' && typeof value === 'string') {
    try {
      new RegExp(value, 'su');
    } catch (error) {
      return (error as Error).message;
    }
  }
  if ((key === 'timeout' || key === 'stallLimit') && seconds(value as string) <= 0)
    return `must be above zero; found ${JSON.stringify(value)}`;
  return null;
}
