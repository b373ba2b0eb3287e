import { createContext, useContext } from 'react';
import type { BasisCode, Choice, Opened } from '../api/personnel.ts';

/**
 * The patient at hand. Held in memory only: ids and clinical data are never kept in the browser, and a reload closes the
 * record.
 */
export interface RecordState {
  choice: Choice | undefined;
  opened: Opened | undefined;
  choose: (nin: string) => Promise<void>;
  open: (basis: BasisCode, part?: string) => Promise<Opened>;
  leave: () => void;
}

export const RecordContext = createContext<RecordState | null>(null);

/** The patient at hand. */
export function useRecord(): RecordState {
  const record = useContext(RecordContext);
  if (!record) throw new Error('useRecord outside of the personnel portal');
  return record;
}
