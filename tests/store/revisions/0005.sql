BEGIN TRANSACTION;
CREATE TABLE agentbench_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agentbench_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "agentbench_schema" VALUES('0005');
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	case_digest TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	cluster TEXT NOT NULL, 
	repeat BIGINT NOT NULL, 
	seed BIGINT NOT NULL, 
	tries BIGINT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	wall_anchor_ns BIGINT NOT NULL, 
	output TEXT NOT NULL, 
	failure_kind TEXT, 
	failure_message TEXT, 
	failure_detail TEXT, 
	passed BOOLEAN, end_state TEXT DEFAULT 'null' NOT NULL, cold_start_ns BIGINT, 
	PRIMARY KEY (id), 
	CONSTRAINT attempts_run_case_repeat UNIQUE (run_id, case_id, repeat), 
	FOREIGN KEY(run_id) REFERENCES runs (id), 
	FOREIGN KEY(case_digest) REFERENCES cases (digest)
);
INSERT INTO "attempts" VALUES(1,'words-20261128-093237-915737','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36344852290217,36344853347279,1795822012990056125,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(2,'words-20261128-093237-915737','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36344852433455,36344853513590,1795822012990056125,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(3,'words-20261128-093237-915737','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36344851913535,36344853068128,1795822012990056125,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(4,'words-20261128-093237-915737','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36344852138274,36344853210053,1795822012990056125,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(5,'words-20261128-093237-915737','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36344851436645,36344852806881,1795822012990056125,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(6,'words-20261128-093237-915737','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36344852584566,36344853638492,1795822012990056125,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(7,'words-20261128-093240-428b02','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36347850729986,36347851835739,1795822012990056356,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(8,'words-20261128-093240-428b02','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36347849953979,36347851367175,1795822012990056356,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(9,'words-20261128-093240-428b02','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36347850476784,36347851669719,1795822012990056356,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(10,'words-20261128-093240-428b02','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36347850908249,36347851959930,1795822012990056356,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(11,'words-20261128-093240-428b02','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36347850138603,36347851524909,1795822012990056356,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(12,'words-20261128-093240-428b02','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36347849501034,36347851121026,1795822012990056356,'yes',NULL,NULL,NULL,1,'null',NULL);
CREATE TABLE baselines (
	suite TEXT NOT NULL, 
	name TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (suite, name), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE cases (
	digest TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	cluster TEXT NOT NULL, 
	messages TEXT NOT NULL, 
	tools TEXT NOT NULL, 
	expected TEXT NOT NULL, 
	metadata TEXT NOT NULL, user_script TEXT DEFAULT '{}' NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "cases" VALUES('7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right','[{"role":"user","content":"Is this right?"}]','[]','"yes"','{}','{}');
INSERT INTO "cases" VALUES('0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long','[{"role":"user","content":"A long answer."}]','[]','"one two three four five"','{}','{}');
INSERT INTO "cases" VALUES('cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong','[{"role":"user","content":"Is this wrong?"}]','[]','"yes"','{}','{}');
CREATE TABLE labels (
	run_id TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	repeat BIGINT NOT NULL, 
	reviewer TEXT NOT NULL, 
	passed BOOLEAN NOT NULL, 
	comment TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id, case_id, repeat, reviewer), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE model_calls (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	messages TEXT NOT NULL, 
	request TEXT NOT NULL, 
	reply TEXT NOT NULL, 
	finish_reason TEXT, 
	intended_at BIGINT NOT NULL, 
	sent_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	chunk_at TEXT NOT NULL, 
	chunk_tokens TEXT NOT NULL, 
	prompt_tokens BIGINT, 
	cached_tokens BIGINT, 
	completion_tokens BIGINT, 
	error TEXT, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
INSERT INTO "model_calls" VALUES(1,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36344852352063,36344852352063,36344853326250,'[36344853283280]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(2,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36344852495671,36344852495671,36344853494023,'[36344853411840,36344853428571,36344853441595,36344853451814,36344853460470]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(3,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36344851980640,36344851980640,36344853039766,'[36344852936072,36344852961640,36344852976648,36344852987749,36344852999891]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(4,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36344852194830,36344852194830,36344853188192,'[36344853142968]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(5,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36344851568622,36344851568622,36344852759773,'[36344852684804]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(6,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36344852634350,36344852634350,36344853617072,'[36344853574643]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(7,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36347850801670,36347850801670,36347851815050,'[36347851734690,36347851759757,36347851769435,36347851777821,36347851786978]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(8,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36347850028177,36347850028177,36347851336608,'[36347851243935,36347851267038,36347851278830,36347851289249,36347851298837]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(9,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36347850547926,36347850547926,36347851648960,'[36347851607313]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(10,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36347850957510,36347850957510,36347851939402,'[36347851895811]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(11,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36347850200368,36347850200368,36347851498099,'[36347851450921]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(12,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36347849622661,36347849622661,36347851077745,'[36347851011752]','[1]',3,NULL,1,NULL);
CREATE TABLE run_notes (
	run_id TEXT NOT NULL, 
	text TEXT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE run_tags (
	run_id TEXT NOT NULL, 
	tag TEXT NOT NULL, 
	PRIMARY KEY (run_id, tag), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE runs (
	id TEXT NOT NULL, 
	suite TEXT NOT NULL, 
	suite_version TEXT NOT NULL, 
	suite_path TEXT NOT NULL, 
	suite_hash TEXT NOT NULL, 
	config TEXT NOT NULL, 
	config_hash TEXT NOT NULL, 
	case_ids TEXT NOT NULL, 
	repeats BIGINT NOT NULL, 
	label TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	status TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('words-20261128-093237-915737','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":32},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','4bbde7282e041944974ebce399612f13726e2f20559866528cce6ee975157d96','["right","long","wrong"]',2,'first','{"git_commit":"","git_branch":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":20218,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"passed_by":["exact"],"suite":{"tools":[],"user":{"name":"scripted"},"scorers":[{"name":"exact"}]},"mode":"strict","gate":{},"server":{}}','finished','2026-11-28 09:32:37.053024','2026-11-28 09:32:37.871738');
INSERT INTO "runs" VALUES('words-20261128-093240-428b02','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":8},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','1efd5738b2ff6b676cb2579ea67de5ed2f83adbeb6b81eef4b4781a754b7e420','["right","long","wrong"]',2,'second','{"git_commit":"","git_branch":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":20288,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"passed_by":["exact"],"suite":{"tools":[],"user":{"name":"scripted"},"scorers":[{"name":"exact"}]},"mode":"strict","gate":{},"server":{}}','finished','2026-11-28 09:32:40.159629','2026-11-28 09:32:40.857320');
CREATE TABLE "scores" (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	passed BOOLEAN, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
INSERT INTO "scores" VALUES(1,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(2,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(3,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(4,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(5,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(6,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(7,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(8,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(9,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(10,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(11,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(12,0,'exact',1.0,1,'equal');
CREATE TABLE superseded_baselines (
	suite TEXT NOT NULL, 
	name TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	run_id TEXT NOT NULL, 
	PRIMARY KEY (suite, name, created_at), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE tool_calls (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	call_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arguments TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	executed BOOLEAN NOT NULL, 
	result TEXT, 
	error TEXT, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
CREATE TABLE tuning_candidates (
	study TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	settings TEXT NOT NULL, 
	worker TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	ended_as TEXT, 
	result TEXT NOT NULL, 
	ended_at DATETIME, 
	PRIMARY KEY (study, number), 
	FOREIGN KEY(study) REFERENCES tuning_studies (name)
);
CREATE TABLE tuning_proposals (
	study TEXT NOT NULL, 
	path TEXT NOT NULL, 
	slot BIGINT NOT NULL, 
	number BIGINT NOT NULL, 
	text TEXT NOT NULL, 
	parent TEXT, 
	minibatch TEXT NOT NULL, 
	parent_score DOUBLE, 
	score DOUBLE, 
	accepted BOOLEAN NOT NULL, 
	note TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (study, path, slot, number), 
	FOREIGN KEY(study) REFERENCES tuning_studies (name)
);
CREATE TABLE tuning_replays (
	study TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	result TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (study, "key"), 
	FOREIGN KEY(study) REFERENCES tuning_studies (name)
);
CREATE TABLE tuning_runs (
	study TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	answers TEXT NOT NULL, 
	config_hash TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	PRIMARY KEY (study, purpose, answers, config_hash), 
	FOREIGN KEY(study) REFERENCES tuning_studies (name), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE tuning_studies (
	name TEXT NOT NULL, 
	suite TEXT NOT NULL, 
	suite_path TEXT NOT NULL, 
	suite_hash TEXT NOT NULL, 
	document TEXT NOT NULL, 
	document_hash TEXT NOT NULL, 
	split TEXT NOT NULL, 
	status TEXT NOT NULL, 
	seconds DOUBLE NOT NULL, 
	verdict TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (name)
);
CREATE TABLE user_turns (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	messages TEXT NOT NULL, 
	state TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
CREATE INDEX ix_runs_label ON runs (label);
CREATE INDEX ix_runs_created_at ON runs (created_at);
CREATE INDEX attempts_run_verdict ON attempts (run_id, failure_kind, passed);
COMMIT;
