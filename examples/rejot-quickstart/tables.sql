-- What a service keeps for itself.
CREATE TABLE account (
    id serial PRIMARY KEY,
    email text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL
);

INSERT INTO account (email, first_name, last_name) VALUES
    ('ada@example.com', 'Ada', 'Lovelace'),
    ('alan@example.com', 'Alan', 'Turing');

-- What another one wants of it.
CREATE TABLE target_account (
    id int PRIMARY KEY,
    email text NOT NULL,
    full_name text NOT NULL
);
