/** Whether a text is as expected, and if not, what to say. */
import { createHash } from 'node:crypto';
import { KEPT_BYTES, StreamCapture, type StreamFacts } from '../../recording/stream-capture.js';
import type { TextTest } from '../model/spec.js';

/** Of a text in a message. */
const SHOWN = 400;

/** The outcome of a test. */
export interface Mismatch {
  message: string;
  expected: string;
  found: string;
}

/** Facts of a text that is at hand. */
export function streamOf(text: string): StreamFacts {
  const capture = new StreamCapture();
  capture.add(Buffer.from(text));
  return capture.facts();
}

/** The first part of the test that fails, or null. */
export function testStream(test: TextTest, stream: StreamFacts): Mismatch | null {
  const kept = Buffer.from(stream.base64, 'base64');
  const text = kept.toString('utf8');
  const found = shorten(text);
  const whole = expectedWhole(test);
  if (whole !== null && (whole.bytes !== stream.bytes || whole.sha256 !== stream.sha256))
    return wholeMismatch(whole, stream, kept);
  const cut = stream.truncated ? ` in the first ${KEPT_BYTES} bytes` : '';
  if (test.contains !== undefined && !text.includes(test.contains))
    return { message: `does not contain what is expected${cut}`, expected: shorten(test.contains), found };
  if (test.matches !== undefined && !new RegExp(test.matches, 'su').test(text))
    return { message: `does not match the pattern${cut}`, expected: `/${test.matches}/`, found };
  return null;
}

/** What a test expects, as text. */
export function describeTest(test: TextTest): string {
  const whole = expectedWhole(test);
  const parts = [
    ...(whole === null ? [] : [whole.content ? shorten(whole.content.toString('utf8')) : sized(whole)]),
    ...(test.contains === undefined ? [] : [`contains ${JSON.stringify(test.contains)}`]),
    ...(test.matches === undefined ? [] : [`matches /${test.matches}/`]),
  ];
  return parts.join(' and ');
}

/**
 * The same for a value, such as `0x10` or `"text"`: whole numbers are compared as numbers.
 * Null when all is well.
 */
export function testValue(test: TextTest, value: string): Mismatch | null {
  const { equals, ...rest } = test;
  if (equals !== undefined && !sameValue(equals, value))
    return { message: 'is another value than expected', expected: equals, found: shorten(value) };
  return testStream(rest, streamOf(value));
}

function sameValue(expected: string, found: string): boolean {
  if (expected === found || JSON.stringify(expected) === found) return true;
  const [left, right] = [integer(expected), integer(found)];
  return left !== null && left === right;
}

function integer(text: string): bigint | null {
  const match = /^\s*(-?)(0x[0-9a-f]+|\d+)\s*$/i.exec(text);
  if (!match) return /^(true|false)$/.test(text) ? BigInt(text === 'true') : null;
  return match[1] ? -BigInt(match[2]) : BigInt(match[2]);
}

interface Whole {
  bytes: number;
  sha256: string;
  content: Buffer | null;
}

function expectedWhole({ equals, bytes, digest }: TextTest): Whole | null {
  if (digest) return { ...digest, content: null };
  if (equals === undefined && bytes === undefined) return null;
  const content = equals === undefined ? Buffer.from(bytes!, 'base64') : Buffer.from(equals);
  return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex'), content };
}

function wholeMismatch(whole: Whole, stream: StreamFacts, kept: Buffer): Mismatch {
  const { content } = whole;
  const size = `${stream.bytes} bytes, expected ${whole.bytes}`;
  if (!content)
    return { message: `is not what is expected (${size})`, expected: sized(whole), found: sized(stream) };
  const at = firstDifference(content, kept);
  return {
    message: `differs at byte ${at} (${size})`,
    expected: around(content, at),
    found: around(kept, at),
  };
}

const sized = ({ bytes, sha256 }: { bytes: number; sha256: string }): string =>
  `${bytes} bytes with SHA-256 ${sha256}`;

function firstDifference(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) if (left[at] !== right[at]) return at;
  return length;
}

/** The text starting with the line of the difference, or the one before. */
function around(content: Buffer, at: number): string {
  const from = content.length <= SHOWN ? 0 : Math.max(0, content.lastIndexOf(10, Math.max(0, at - 40)) + 1);
  return shorten((from > 0 ? '... ' : '') + content.subarray(from).toString('utf8'));
}

const shorten = (text: string): string => (text.length > SHOWN ? `${text.slice(0, SHOWN)} ...` : text);
