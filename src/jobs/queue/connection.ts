import { Redis } from 'ioredis';
import { RevenantError } from '../../engine/base/errors.js';

/** Longest pause between attempts to reconnect to Redis. */
const MOST_PAUSE_MS = 2000;
const FIRST_CONNECT_MS = 10_000;

/**
 * Connects to Redis. Commands wait while it is unreachable (it may be restarted); only the first
 * connection must succeed. Throws E_USAGE for an invalid URL, E_QUEUE if no Redis answers. @param
 * complain called for lost connections
 */
export async function connect(url: string, complain: (text: string) => void): Promise<Redis> {
  if (!/^(rediss?|unix):\/\//.test(url)) {
    throw new RevenantError('E_USAGE', `Invalid Redis URL ${url}.`, 'Such as redis://localhost:6379.');
  }
  const redis = new Redis(url.startsWith('unix://') ? url.slice('unix://'.length) : url, {
    // BullMQ requires this: commands wait until Redis is reachable again.
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(times * 100, MOST_PAUSE_MS),
    lazyConnect: true,
  });
  let lost = false;
  redis.on('error', (error: Error) => {
    if (!lost) complain(`Redis: ${error.message || 'connection lost'}`);
    lost = true;
  });
  redis.on('ready', () => {
    if (lost) complain('Redis is back');
    lost = false;
  });
  const timer = setTimeout(() => redis.disconnect(), FIRST_CONNECT_MS);
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    redis.disconnect();
    throw new RevenantError('E_QUEUE', `No Redis at ${withoutPassword(url)}: ${(error as Error).message}.`);
  } finally {
    clearTimeout(timer);
  }
  return redis;
}

const withoutPassword = (url: string): string => url.replace(/\/\/[^@/]*@/, '//');
