/** Where traces are put for workers on other machines: objects by key, never changed once they are there. */
export interface Store {
  /** Checks that it can be used; throws its error. */
  check(): Promise<void>;
  has(key: string): Promise<boolean>;
  /** Stores a file. It becomes visible only when complete. */
  put(key: string, file: string): Promise<void>;
  /** Writes the object to a file. Throws if there is none. */
  get(key: string, file: string): Promise<void>;
}
