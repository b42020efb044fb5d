// Control of the simulation's clock, for those who may.

import { signal } from '@preact/signals';
import { useMemo, useRef } from 'preact/hooks';
import { ApiError, ask, type Control as Outcome, post, type Session, useAsk } from '../api.js';
import { clockOf, count, dateOf } from '../format.js';
import { tick } from '../live/store.js';
import { Card, State } from '../parts/basics.js';
import { Notice } from '../parts/link-badge.js';

const SPEEDS = [
  [1, 'as in life'],
  [100, 'a day in 14 minutes'],
  [1_000, 'a day in 86 seconds'],
  [10_000, 'a day in 9 seconds'],
  [105_120, 'a year in 5 minutes'],
] as const;

export function Control() {
  const changed = useMemo(() => signal(0), []);
  const told = useMemo(() => signal<{ text: string; bad: boolean } | undefined>(undefined), []);
  const asked = useAsk<Session>(() => `session?${changed.value}`);
  const { data: session, error, busy } = asked.value;
  const may = session?.may_control ?? false;
  const now = tick.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const order = async (command: string, body: unknown = {}): Promise<void> => {
    try {
      const outcome = await post<Outcome>(`control/${command}`, body);
      told.value = { text: outcome.message, bad: false };
    } catch (problem) {
      told.value = { text: problem instanceof ApiError ? problem.message : String(problem), bad: true };
      if (problem instanceof ApiError && problem.status === 401) changed.value++;
    }
  };
  return (
    <>
      <Notice />
      <div class="headline">
        <div>
          <h1>Control</h1>
          <p class="muted">
            {now
              ? `${dateOf(now.time)}, ${clockOf(now.time)}: ${now.paused ? 'paused at' : 'running at'} ${count(now.speed)} simulated ${now.speed === 1 ? 'second' : 'seconds'} a second`
              : 'Waiting for the clock'}
          </p>
        </div>
        {session?.signed_in && (
          <button
            type="button"
            class="button"
            onClick={() =>
              void ask('session', { method: 'DELETE', headers: { 'content-type': 'application/json' } }).then(
                () => changed.value++,
                () => undefined,
              )
            }
          >
            Sign out
          </button>
        )}
      </div>
      {!session && <State busy={busy} error={error} />}
      {session && !may && session.needs_password && <SignIn onDone={() => changed.value++} />}
      {session && !may && !session.needs_password && <div class="state">{session.reason}</div>}
      <div class="grid two controls">
        <Card title="Clock">
          <div class="tools">
            <button
              type="button"
              class="button primary"
              disabled={!may || now?.paused === true}
              onClick={() => void order('pause')}
            >
              Pause
            </button>
            <button
              type="button"
              class="button primary"
              disabled={!may || now?.paused === false}
              onClick={() => void order('resume')}
            >
              Resume
            </button>
          </div>
          <fieldset disabled={!may}>
            <legend>Speed</legend>
            <div class="speeds">
              {SPEEDS.map(([speed, story]) => (
                <button
                  key={speed}
                  type="button"
                  aria-pressed={now?.speed === speed}
                  onClick={() => void order('set_speed', { speed })}
                >
                  <strong>{count(speed)}×</strong>
                  <span>{story}</span>
                </button>
              ))}
            </div>
          </fieldset>
          <p class={`outcome ${told.value?.bad ? 'bad' : ''}`} role="status">
            {told.value?.text}
          </p>
        </Card>
        <Card title="A new run">
          <p>
            Everything begins again on {now ? dateOf(now.startTime) : 'its first day'} with the same seed: homes,
            contracts, prices and the weather. The run that ends stays in the database, and leaves the pages.
          </p>
          <button type="button" class="button danger" disabled={!may} onClick={() => dialog.current?.showModal()}>
            Reset
          </button>
        </Card>
      </div>
      <dialog ref={dialog} aria-labelledby="reset-title">
        <h2 id="reset-title">Begin a new run?</h2>
        <p>Everybody who looks at this world sees it begin anew. This cannot be taken back.</p>
        <form method="dialog" class="tools">
          <button class="button" value="no">
            Keep going
          </button>
          <button class="button danger" value="yes" onClick={() => void order('reset')}>
            Begin anew
          </button>
        </form>
      </dialog>
    </>
  );
}

function SignIn({ onDone }: { onDone: () => void }) {
  const problem = useMemo(() => signal(''), []);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const password = new FormData(event.currentTarget as HTMLFormElement).get('password');
    try {
      await post('session', { password });
      problem.value = '';
      onDone();
    } catch (error) {
      problem.value = error instanceof ApiError ? error.message : String(error);
    }
  };
  return (
    <form class="sign-in card" onSubmit={(event) => void submit(event as unknown as SubmitEvent)}>
      <label for="password">Password for control</label>
      <div class="tools">
        <input
          id="password"
          name="password"
          type="password"
          autoComplete="current-password"
          required
          aria-describedby="sign-in-problem"
        />
        <button class="button primary">Sign in</button>
      </div>
      <p id="sign-in-problem" class="outcome bad" role="alert">
        {problem.value}
      </p>
    </form>
  );
}
