import { createCipheriv, createHash } from 'node:crypto';

/**
 * Random bytes that are the same in each diversion at one place: the key stream of AES-256 in counter mode.
 * @param place identifies the place
 */
export function randomOf(...place: (string | Uint8Array)[]): (into: Uint8Array) => void {
  const hash = createHash('sha256');
  for (const part of place) hash.update(part).update('\0');
  const stream = createCipheriv('aes-256-ctr', hash.digest(), new Uint8Array(16));
  return (into) => into.set(stream.update(new Uint8Array(into.length)));
}
