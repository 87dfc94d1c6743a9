// test/t/pool.js
//	  Writes with node-postgres through a pool and a retry loop, as doc/clients.md says.
//
// usage: node pool.js NAME SERVER:PORT/DATABASE...		for 064_clients.pl
//
// Inserts the keys NAME 1, NAME 2... into the table keyed until its standard input ends.
// Prints "told N" when the server has acknowledged key N, and "SQLSTATE: message" for each
// failure.  A key whose fate is not known is inserted again, on the next server.

'use strict';

const { Pool } = require('pg');

const WRITERS = 2;
const PACE = 5; // ms, between keys
const PAUSE = 50; // ms, after a failure

const [name, ...servers] = process.argv.slice(2);
const pools = servers.map((server) => {
	const [, host, port, database] = /^(.+):(\d+)\/(.+)$/.exec(server);
	const pool = new Pool({
		host, port: Number(port), database, user: 'app', max: WRITERS,
		connectionTimeoutMillis: 5000,
	});

	// an idle connection that is lost would end the program
	pool.on('error', (error) => report(error));
	return pool;
});
let current = 0; // of pools
let last = 0; // key
let ends = false;

function sleep(ms)
{
	return new Promise((resolve) => setTimeout(resolve, ms));
}

function report(error)
{
	console.log(`${error.code ?? '-'}: ${error.message}`);
}

// The update makes a retry a transaction that writes: only such a one waits for copies.
async function insert(key)
{
	for (;;)
	{
		const used = current;

		try
		{
			await pools[used].query('INSERT INTO keyed VALUES ($1, $2)' +
				' ON CONFLICT (client, n) DO UPDATE SET times = keyed.times + 1', [name, key]);
			console.log(`told ${key}`);
			return;
		}
		catch (error)
		{
			report(error);
			if (current === used)
				current = (used + 1) % pools.length;
			await sleep(PAUSE);
		}
	}
}

async function write()
{
	while (!ends)
	{
		await insert(++last);
		await sleep(PACE);
	}
}

process.stdin.on('end', () => { ends = true; });
process.stdin.resume();
Promise.all(Array.from({ length: WRITERS }, write))
	.then(() => Promise.all(pools.map((pool) => pool.end())))
	.catch((error) => { report(error); process.exitCode = 1; });
