/** The input line of a query: it completes fields and values, and marks errors. */
import { useEffect, useId, useRef, useState } from 'react';
import type { KeyboardEvent, ReactNode, SubmitEvent } from 'react';
import { SearchError } from '#schemas/search/lexer.js';
import { MAX_SEARCH, parseSearch } from '#schemas/search/parse.js';
import { useAnswer } from '../parts/use-json.js';
import { applied, completionAt, knownSuggestions, writtenValue } from './completion.js';
import type { Suggestion } from './completion.js';

const SHOWN = 9;

export function QueryBox({ query, onSearch }: { readonly query: string; readonly onSearch: (query: string) => void }): ReactNode {
  const [draft, setDraft] = useState(query);
  const [cursor, setCursor] = useState(query.length);
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  const [tried, setTried] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => {
    setDraft(query);
    setTried(false);
    setOpen(false);
  }, [query]);
  const completion = open ? completionAt(draft, cursor) : null;
  const known = completion === null ? [] : knownSuggestions(completion);
  const { data } = useAnswer(
    'GET /api/find/values',
    completion?.kind === 'value' && known === null ? { query: { field: completion.field, prefix: completion.prefix } } : null,
  );
  const asked: readonly Suggestion[] = (data?.values ?? []).map(({ value, count }) => ({
    text: writtenValue(value),
    label: value,
    note: `${count} ${count === 1 ? 'session' : 'sessions'}`,
  }));
  const suggestions = (known ?? asked).slice(0, SHOWN);
  const fault = tried || draft === query ? faultOf(draft) : null;

  const take = (suggestion: Suggestion): void => {
    if (completion === null) return;
    const next = applied(draft, cursor, completion, suggestion);
    setDraft(next.query);
    setCursor(next.cursor);
    setChosen(-1);
    // Once the value is rendered, place the cursor after it.
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(next.cursor, next.cursor);
    });
  };
  const submit = (event?: SubmitEvent): void => {
    event?.preventDefault();
    setTried(true);
    setOpen(false);
    if (draft.trim() !== '' && faultOf(draft) === null) onSearch(draft.trim());
  };
  const key = (event: KeyboardEvent<HTMLInputElement>): void => {
    if (event.key === 'Escape' && open) {
      setOpen(false);
      event.preventDefault();
    } else if (suggestions.length > 0 && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      const step = event.key === 'ArrowDown' ? 1 : -1;
      setChosen((chosen + step + suggestions.length + (chosen < 0 && step < 0 ? 1 : 0)) % suggestions.length);
      event.preventDefault();
    } else if (event.key === 'Tab' && !event.shiftKey && suggestions.length > 0 && suggestions[Math.max(chosen, 0)]!.text !== '') {
      take(suggestions[Math.max(chosen, 0)]!);
      event.preventDefault();
    } else if (event.key === 'Enter' && chosen >= 0 && suggestions[chosen] !== undefined) {
      take(suggestions[chosen]);
      event.preventDefault();
    }
  };
  return (
    <form className="search-box" role="search" onSubmit={submit}>
      <div className="query">
        <input
          ref={input}
          type="search"
          name="q"
          value={draft}
          maxLength={MAX_SEARCH}
          autoFocus
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          placeholder="Search screens, commands, files, connections…"
          aria-label="Search"
          role="combobox"
          aria-expanded={suggestions.length > 0}
          aria-controls={`${id}-list`}
          aria-invalid={fault !== null}
          aria-describedby={fault === null ? undefined : `${id}-fault`}
          aria-activedescendant={chosen >= 0 ? `${id}-${chosen}` : undefined}
          onChange={(event) => {
            setDraft(event.target.value);
            setCursor(event.target.selectionStart ?? event.target.value.length);
            setOpen(true);
            setChosen(-1);
            setTried(false);
          }}
          onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
          onBlur={() => setOpen(false)}
          onKeyDown={key}
        />
        {suggestions.length > 0 && (
          <ul className="suggestions" role="listbox" id={`${id}-list`} aria-label="Suggestions">
            {suggestions.map((suggestion, i) => (
              <li
                key={suggestion.label}
                id={`${id}-${i}`}
                role="option"
                aria-selected={i === chosen}
                // Handle this before the input loses the focus, which would close the list.
                onPointerDown={(event) => {
                  event.preventDefault();
                  take(suggestion);
                }}
              >
                <code>{suggestion.label}</code>
                <span>{suggestion.note}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <button type="submit">Search</button>
      {fault !== null && (
        <p className="query-fault" id={`${id}-fault`} role="alert">
          <code>
            {draft.slice(0, fault.at)}
            <mark>{draft.slice(fault.at, fault.at + 1) === '' ? ' ' : draft.slice(fault.at, fault.at + 1)}</mark>
            {draft.slice(fault.at + 1)}
          </code>
          <span>{fault.message}</span>
        </p>
      )}
    </form>
  );
}

function faultOf(query: string): SearchError | null {
  if (query.trim() === '') return null;
  try {
    parseSearch(query, Date.now());
    return null;
  } catch (error) {
    if (error instanceof SearchError) return error;
    throw error;
  }
}
