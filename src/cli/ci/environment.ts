/** What `ci` and `worker` take from their surroundings. */
export interface CiEnvironment {
  version: string;
  environment: NodeJS.ProcessEnv;
  /** Milliseconds of the epoch. */
  date: () => number;
}
