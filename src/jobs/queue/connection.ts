import { Redis } from 'ioredis';
import { RevenantError } from '../../engine/base/errors.js';

/** Longest pause before another attempt to reach a Redis that has gone. */
const MOST_PAUSE_MS = 2000;
const FIRST_CONNECT_MS = 10_000;

/**
 * Connects to Redis. Commands wait while it is away (it may be restarted); only the first connection must succeed.
 * Throws E_USAGE for what is no URL of a Redis, E_QUEUE where none answers.
 * @param complain told of lost connections
 */
export async function connect(url: string, complain: (text: string) => void): Promise<Redis> {
  if (!/^(rediss?|unix):\/\//.test(url)) {
    throw new RevenantError('E_USAGE', `${url} is no URL of a Redis.`, 'Such as redis://localhost:6379.');
  }
  const redis = new Redis(url.startsWith('unix://') ? url.slice('unix://'.length) : url, {
    // What BullMQ asks for: commands wait for Redis to come back.
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
