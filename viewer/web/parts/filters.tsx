/**
 * Filters that live in the address, so that filtered views can be linked and the back button undoes a change. Text is applied when
 * typing pauses or Enter is pressed.
 */
import { useEffect, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import { useSearchParams } from 'wouter';

export interface FilterValues {
  readonly get: (name: string) => string;
  readonly set: (change: Readonly<Record<string, string>>) => void;
}

export function useFilters(names: readonly string[]): FilterValues {
  const [query, setQuery] = useSearchParams();
  return {
    get: (name) => query.get(name) ?? '',
    set: (change) => {
      const values = names.map((name): [string, string] => [name, change[name] ?? query.get(name) ?? '']);
      setQuery(
        values.filter(([, value]) => value !== ''),
        { replace: true },
      );
    },
  };
}

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly filters: FilterValues;
}

export function TextFilter({ label, name, filters, placeholder }: FieldProps & { readonly placeholder?: string }): ReactNode {
  const value = filters.get(name);
  const [draft, setDraft] = useState(value);
  const committed = useRef(value);
  useEffect(() => {
    if (value !== committed.current) setDraft(value);
    committed.current = value;
  }, [value]);
  useEffect(() => {
    if (draft === committed.current) return undefined;
    const timer = setTimeout(() => commit(draft), 350);
    return () => clearTimeout(timer);
  });
  const commit = (text: string): void => {
    committed.current = text.trim();
    filters.set({ [name]: text.trim() });
  };
  return (
    <label className="field">
      <span>{label}</span>
      <input
        type="text"
        name={name}
        value={draft}
        placeholder={placeholder ?? 'any'}
        autoComplete="off"
        spellCheck={false}
        maxLength={255}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={(event) => event.key === 'Enter' && commit(draft)}
      />
    </label>
  );
}

export function ChoiceFilter({
  label,
  name,
  filters,
  choices,
}: FieldProps & { readonly choices: readonly (readonly [string, string])[] }): ReactNode {
  return (
    <label className="field">
      <span>{label}</span>
      <select name={name} value={filters.get(name)} onChange={(event) => filters.set({ [name]: event.target.value })}>
        {choices.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

const local = (ms: string): string => {
  if (!/^\d{1,15}$/.test(ms)) return '';
  const date = new Date(Number(ms) - new Date(Number(ms)).getTimezoneOffset() * 60_000);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().slice(0, 16);
};

/** A moment in local time, kept in the address as ms since 1970. */
export function MomentFilter({ label, name, filters }: FieldProps): ReactNode {
  return (
    <label className="field">
      <span>{label}</span>
      <input
        type="datetime-local"
        name={name}
        value={local(filters.get(name))}
        onChange={(event) => {
          const at = new Date(event.target.value).getTime();
          filters.set({ [name]: Number.isNaN(at) ? '' : String(at) });
        }}
      />
    </label>
  );
}
