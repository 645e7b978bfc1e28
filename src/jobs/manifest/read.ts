/** Reads a manifest: YAML (JSON is YAML), checked against the published schema; problems name their place. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ErrorObject } from 'ajv';
import { Ajv } from 'ajv';
import type { Document, Node } from 'yaml';
import { isNode, LineCounter, parseDocument } from 'yaml';
import { RevenantError } from '../../engine/base/errors.js';
import { seconds } from './units.js';
import type { Manifest } from './types.js';

/** The published schema. */
export const SCHEMA_FILE = fileURLToPath(new URL('../../../schema/ci-manifest.schema.json', import.meta.url));

/** Of one file, no more is said: one mistake makes many. */
const MOST_PROBLEMS = 10;

export interface ReadManifest {
  /** Absolute. */
  file: string;
  manifest: Manifest;
  /** Line of an entry of `traces`, from 1. */
  lineOfEntry: (index: number) => number;
}

/** Throws E_MANIFEST naming file, line and column of each problem. */
export function readManifest(file: string): ReadManifest {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new RevenantError('E_MANIFEST', `Cannot read the manifest: ${(error as Error).message}.`);
  }
  return parseManifest(text, file);
}

/** The same for a text; `file` is for messages and for what is relative to it. */
export function parseManifest(text: string, file: string): ReadManifest {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const place = (at: number): string => {
    const { line, col } = lines.linePos(at);
    return `${file}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    throw bad(document.errors.map((error) => `${place(error.pos[0])}: ${error.message.split('\n')[0]}`));
  }
  const manifest = document.toJS() as Manifest;
  const problems = schemaProblems(manifest).map(({ keys, text: said }) => {
    const node = nearest(document, keys);
    return `${place(node?.range?.[0] ?? 0)}: ${dotted(keys)}${said}`;
  });
  if (problems.length > 0) throw bad(problems);
  const lineOfEntry = (index: number): number =>
    lines.linePos(nearest(document, ['traces', String(index)])?.range?.[0] ?? 0).line;
  return { file: path.resolve(file), manifest, lineOfEntry };
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

/** The innermost node that a path leads to. */
function nearest(document: Document, keys: readonly string[]): Node | null {
  for (let length = keys.length; length > 0; length--) {
    const numbers = keys.slice(0, length).map((key) => (/^\d+$/.test(key) ? Number(key) : key));
    const node: unknown = document.getIn(numbers, true);
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
  // Of alternatives each says why it is not meant: the deepest place is the one that was, the rest is noise.
  const telling = all.filter(
    ({ keys, error }) =>
      !COMBINING.has(error.keyword) &&
      !all.some((other) => other.keys.length > keys.length && startsWith(other.keys, keys)),
  );
  const chosen = telling.length > 0 ? telling : all;
  const texts = chosen.map(({ keys, error }) => ({ keys, text: sentence(error) }));
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
      return `unknown property "${String(params.additionalProperty)}" (known: ${known.join(', ')})`;
    }
    case 'enum':
      return `must be one of ${(params.allowedValues as unknown[]).join(', ')}${found}`;
    case 'oneOf':
    case 'anyOf':
    case 'not':
      return `${alternatives(parentSchema)}${found}`;
    default:
      return `${message ?? 'is wrong'}${keyword === 'required' ? '' : found}`;
  }
}

/** A question is the only object whose fields exclude each other. */
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
  const visit = (value: unknown, keys: string[]): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      const text = scalarProblem(key, inner);
      if (text !== null) found.push({ keys: [...keys, key], text });
      else visit(inner, [...keys, key]);
    }
  };
  visit(manifest, []);
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
