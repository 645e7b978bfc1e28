import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { HostFiles, HostHandles, listDirectory } from './host-files.js';

const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;

function read(path: string): string | null {
  const handles = new HostHandles();
  const node = new HostFiles(handles).find(path);
  if (node?.kind !== 'file') return null;
  const before = descriptors();
  node.content.hold?.();
  try {
    const bytes = new Uint8Array(4096);
    return Buffer.from(bytes.subarray(0, node.content.read(0, bytes))).toString();
  } finally {
    node.content.close?.();
    handles.close();
    expect(descriptors()).toBe(before);
  }
}

it('reads files, and nothing of the kernel', () => {
  expect(read('/etc/passwd')).toContain('root:');
  expect(read('/proc/version')).toBeNull();
  expect(read('/proc/self/environ')).toBeNull();
  expect(read('/dev/null')).toBeNull();
});

it('knows the file system of the kernel wherever it is met', () => {
  // As if it were mounted elsewhere: not the path gives it away.
  expect(() => read('//proc/self/environ')).toThrow();
  expect(() => read('//sys/kernel/uevent_seqnum')).toThrow();
});

it('keeps no descriptor for what only mappings read', () => {
  const handles = new HostHandles();
  const node = new HostFiles(handles).find('/etc/passwd');
  const before = descriptors();
  if (node?.kind !== 'file') throw new Error('no file');
  expect(node.content.read(0, new Uint8Array(16))).toBe(16);
  expect(descriptors()).toBe(before);
});

it('finds and lists files whose names are no UTF-8', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'names-'));
  const bytes = Buffer.from('caf\xe9', 'latin1');
  fs.writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), bytes]), 'content');
  try {
    expect(listDirectory(folder)?.map(({ name }) => name)).toEqual(['caf\udce9']);
    expect(read(`${folder}/caf\udce9`)).toBe('content');
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
