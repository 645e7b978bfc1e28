import type { JobResult } from '../result.js';
import type { JobSpec } from '../spec.js';
import type { JobListener, RunningJob } from './process.js';

export type StartJob = (spec: JobSpec, listener: JobListener) => RunningJob;

const worthRetrying = ({ state }: JobResult): boolean => state === 'failed' || state === 'error';

/** Tries a job as often as it asks for; the result tells how often, and whether it is flaky. */
export function retrying(start: StartJob): StartJob {
  return (spec, listener) => {
    let cancelled = false;
    let current = start(spec, listener);
    const attempt = async (): Promise<JobResult> => {
      for (let attempts = 1; ; attempts++) {
        const result = await current.result;
        if (!cancelled && worthRetrying(result) && attempts <= spec.retries) {
          listener.note(`attempt ${attempts + 1}`);
          current = start(spec, listener);
          continue;
        }
        return { ...result, attempts, flaky: attempts > 1 && result.state === 'passed' };
      }
    };
    return {
      result: attempt(),
      cancel: () => {
        cancelled = true;
        current.cancel();
      },
    };
  };
}
