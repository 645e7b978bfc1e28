import os from 'node:os';
import path from 'node:path';

/** The user's cache folder, or null if there is none (no HOME, and no entry in passwd). */
export function cacheFolder(environment: NodeJS.ProcessEnv): string | null {
  const { XDG_CACHE_HOME: base } = environment;
  if (base) return path.resolve(base, 'revenant');
  try {
    const home = os.homedir();
    return home === '' ? null : path.join(home, '.cache/revenant');
  } catch {
    return null;
  }
}
