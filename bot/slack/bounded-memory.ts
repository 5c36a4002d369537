/** A memory that forgets: after a while, and the oldest first when it is full. */
export type BoundedMemory<Value> = {
  readonly get: (key: string) => Value | undefined;
  readonly set: (key: string, value: Value) => void;
  readonly forget: (key: string) => void;
};

export function createBoundedMemory<Value>(limits: {
  readonly countMax: number;
  readonly keepMs: number;
  readonly nowMs: () => number;
}): BoundedMemory<Value> {
  const entries = new Map<string, { readonly value: Value; readonly untilMs: number }>();
  return {
    get: (key) => {
      const entry = entries.get(key);
      if (entry !== undefined && entry.untilMs > limits.nowMs()) return entry.value;
      entries.delete(key);
      return undefined;
    },
    set: (key, value) => {
      entries.delete(key);
      entries.set(key, { value, untilMs: limits.nowMs() + limits.keepMs });
      const [oldest] = entries.keys();
      if (entries.size > limits.countMax && oldest !== undefined) entries.delete(oldest);
    },
    forget: (key) => {
      entries.delete(key);
    },
  };
}
