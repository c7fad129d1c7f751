BEGIN TRANSACTION;
CREATE TABLE agentbench_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agentbench_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "agentbench_schema" VALUES('0007');
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
INSERT INTO "attempts" VALUES(1,'words-20261128-093118-51ff90','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36266672355414,36266673268608,1795822012990055885,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(2,'words-20261128-093118-51ff90','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36266672299280,36266673233182,1795822012990055885,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(3,'words-20261128-093118-51ff90','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36266672329697,36266673251155,1795822012990055885,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(4,'words-20261128-093118-51ff90','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36266672189395,36266673152321,1795822012990055885,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(5,'words-20261128-093118-51ff90','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36266672272089,36266673213565,1795822012990055885,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(6,'words-20261128-093118-51ff90','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36266672238556,36266673190402,1795822012990055885,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(7,'words-20261128-093122-8023f6','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36269973034892,36269974246902,1795822012990055003,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(8,'words-20261128-093122-8023f6','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36269972998814,36269974221715,1795822012990055003,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(9,'words-20261128-093122-8023f6','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36269973073634,36269974271288,1795822012990055003,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(10,'words-20261128-093122-8023f6','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36269972784755,36269974146566,1795822012990055003,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(11,'words-20261128-093122-8023f6','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36269973107427,36269974294872,1795822012990055003,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(12,'words-20261128-093122-8023f6','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36269972941067,36269974192131,1795822012990055003,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
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
INSERT INTO "cases" VALUES('cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong','[{"role":"user","content":"Is this wrong?"}]','[]','"yes"','{}','{}');
INSERT INTO "cases" VALUES('7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right','[{"role":"user","content":"Is this right?"}]','[]','"yes"','{}','{}');
INSERT INTO "cases" VALUES('0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long','[{"role":"user","content":"A long answer."}]','[]','"one two three four five"','{}','{}');
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
INSERT INTO "model_calls" VALUES(1,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36266672804993,36266672804993,36266673103801,'[36266673086839]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(2,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36266672721548,36266672721548,36266673027358,'[36266673008783]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(3,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36266672764898,36266672764898,36266673076700,'[36266673037637,36266673044480,36266673050110,36266673055330,36266673060469]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(4,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36266672436806,36266672436806,36266672878100,'[36266672833757]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(5,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36266672677966,36266672677966,36266672997202,'[36266672976813]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(6,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36266672622052,36266672622052,36266672961255,'[36266672912624,36266672922643,36266672929335,36266672934986,36266672940436]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(7,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36269973574629,36269973574629,36269973967031,'[36269973939139]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(8,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36269973520127,36269973520127,36269973924050,'[36269973894866]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(9,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36269973624642,36269973624642,36269974042331,'[36269973980566,36269973990274,36269973998940,36269974007636,36269974016172]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(10,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36269973209828,36269973209828,36269973763801,'[36269973705172]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(11,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36269973675687,36269973675687,36269974083277,'[36269974056277]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(12,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36269973452651,36269973452651,36269973875119,'[36269973803906,36269973817081,36269973826769,36269973835776,36269973844702]','[1,1,1,1,1]',3,NULL,5,NULL);
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
	finished_at DATETIME, kind TEXT DEFAULT 'suite' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('words-20261128-093118-51ff90','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":32},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','4bbde7282e041944974ebce399612f13726e2f20559866528cce6ee975157d96','["right","long","wrong"]',2,'first','{"git_commit":"","git_branch":"","git_dirty":null,"git_untracked":[],"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":18727,"pid_of":["pid:[4026531836]","3626386"],"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"passed_by":["exact"],"suite":{"tools":[],"user":{"name":"scripted"},"scorers":[{"name":"exact"}]},"suite_cases":3,"overridden":[],"mode":"strict","gate":{},"made_of":{"tools":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","user":"f80fc6e35d1453842b4efe897c4c73722f1c5bf53d839a6e09cf1daa32be3ba0","scorers":"eb5f39cfa95d8cddda16d3f34e8c0a7e526bf940e1772539e864ccdec2458c66","passed_by":"c9680df45a04a31d289589dee59ba91ccf7927d589105ff7a089fdd9a8f9e341"},"server":{}}','finished','2026-11-28 09:31:18.998411','2026-11-28 09:31:19.687795','suite');
INSERT INTO "runs" VALUES('words-20261128-093122-8023f6','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":8},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','1efd5738b2ff6b676cb2579ea67de5ed2f83adbeb6b81eef4b4781a754b7e420','["right","long","wrong"]',2,'second','{"git_commit":"","git_branch":"","git_dirty":null,"git_untracked":[],"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":18777,"pid_of":["pid:[4026531836]","3626729"],"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"passed_by":["exact"],"suite":{"tools":[],"user":{"name":"scripted"},"scorers":[{"name":"exact"}]},"suite_cases":3,"overridden":["agent.max_tokens"],"mode":"strict","gate":{},"made_of":{"tools":"4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945","user":"f80fc6e35d1453842b4efe897c4c73722f1c5bf53d839a6e09cf1daa32be3ba0","scorers":"eb5f39cfa95d8cddda16d3f34e8c0a7e526bf940e1772539e864ccdec2458c66","passed_by":"c9680df45a04a31d289589dee59ba91ccf7927d589105ff7a089fdd9a8f9e341"},"server":{}}','finished','2026-11-28 09:31:22.208668','2026-11-28 09:31:23.000146','suite');
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
INSERT INTO "scores" VALUES(1,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(2,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(3,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(4,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(5,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(6,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(7,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(8,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(9,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(10,0,'exact',1.0,1,'equal');
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
CREATE TABLE tuning_notes (
	study TEXT NOT NULL, 
	text TEXT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (study), 
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
CREATE TABLE tuning_tags (
	study TEXT NOT NULL, 
	tag TEXT NOT NULL, 
	PRIMARY KEY (study, tag), 
	FOREIGN KEY(study) REFERENCES tuning_studies (name)
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
