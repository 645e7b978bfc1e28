import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { E } from '../base/errno.js';
import { HostFiles, HostHandles, listDirectory, RealFolder } from './host-files.js';

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

it('detects pseudo file systems at any mount point', () => {
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

it('finds and lists files whose names are not UTF-8', () => {
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

it('writes only to files that are in the folder and nowhere else, whatever their names', () => {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'real-')));
  const [box, outside] = [path.join(root, 'box'), path.join(root, 'outside')];
  fs.mkdirSync(box);
  fs.mkdirSync(outside);
  for (const file of [`${box}/own`, `${outside}/kept`]) fs.writeFileSync(file, 'kept');
  fs.linkSync(`${outside}/kept`, `${box}/second`);
  fs.symlinkSync(`${outside}/kept`, `${box}/link`);
  // After the check a folder was replaced by a link.
  fs.symlinkSync(outside, `${box}/swapped`);
  execFileSync('mkfifo', [`${box}/pipe`]);
  try {
    const folder = new RealFolder(box);
    const before = descriptors();
    const own = folder.open(`${box}/own`);
    expect(own).toBeGreaterThan(0);
    fs.closeSync(own);
    for (const name of ['second', 'link', 'pipe', 'swapped/kept']) {
      expect(folder.open(`${box}/${name}`), name).toBe(-E.EXDEV);
      expect(folder.owns(`${box}/${name}`), name).toBe(false);
    }
    expect(folder.open(`${box}/absent`)).toBe(-E.ENOENT);
    expect(folder.at(`${box}/swapped/new`, () => 1)).toBeNull();
    expect(folder.at(`${box}/new`, () => 1)).toBe(1);
    expect([folder.holds(box), folder.holds(`${box}/x`), folder.holds(`${box}x`)]).toEqual([
      false,
      true,
      false,
    ]);
    expect(descriptors()).toBe(before);
  } finally {
    fs.rmSync(root, { recursive: true });
  }
});
