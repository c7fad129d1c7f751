BEGIN TRANSACTION;
CREATE TABLE agentbench_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agentbench_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "agentbench_schema" VALUES('0003');
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
INSERT INTO "attempts" VALUES(1,'words-20261128-093219-8e4c09','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36327381568039,36327382223311,1795822012990049884,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(2,'words-20261128-093219-8e4c09','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36327381100477,36327382064274,1795822012990049884,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(3,'words-20261128-093219-8e4c09','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36327380897899,36327381910578,1795822012990049884,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(4,'words-20261128-093219-8e4c09','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36327381000069,36327381989255,1795822012990049884,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(5,'words-20261128-093219-8e4c09','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36327381426946,36327382158120,1795822012990049884,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(6,'words-20261128-093219-8e4c09','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36327380382618,36327381736734,1795822012990049884,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(7,'words-20261128-093222-31dd62','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36330031800578,36330037433274,1795822012990056997,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(8,'words-20261128-093222-31dd62','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36330036858703,36330038207118,1795822012990056997,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(9,'words-20261128-093222-31dd62','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36330036556469,36330037713878,1795822012990056997,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(10,'words-20261128-093222-31dd62','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36330036213589,36330037563097,1795822012990056997,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(11,'words-20261128-093222-31dd62','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36330031460454,36330037141320,1795822012990056997,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(12,'words-20261128-093222-31dd62','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36330036710015,36330037879977,1795822012990056997,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
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
INSERT INTO "model_calls" VALUES(1,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36327381608955,36327381608955,36327382212581,'[36327382191572]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(2,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36327381135362,36327381135362,36327382052623,'[36327382030261]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(3,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36327380940558,36327380940558,36327381895219,'[36327381833043,36327381851698,36327381859392,36327381865724,36327381871936]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(4,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36327381036347,36327381036347,36327381977232,'[36327381952987]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(5,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36327381474474,36327381474474,36327382146548,'[36327382099600,36327382108818,36327382115590,36327382121782,36327382127683]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(6,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36327380495208,36327380495208,36327381702039,'[36327381647327]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(7,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36330031842506,36330031842506,36330037405843,'[36330037311878,36330037337476,36330037350280,36330037360989,36330037371078]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(8,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36330036917993,36330036917993,36330038189385,'[36330038145062]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(9,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36330036618274,36330036618274,36330037688651,'[36330037628809]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(10,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36330036360073,36330036360073,36330037543099,'[36330037503505]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(11,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36330031570729,36330031570729,36330037087469,'[36330036991320]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(12,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36330036769156,36330036769156,36330037861062,'[36330037784610,36330037800649,36330037810688,36330037820978,36330037830786]','[1,1,1,1,1]',3,NULL,5,NULL);
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
INSERT INTO "runs" VALUES('words-20261128-093219-8e4c09','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":32},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','4bbde7282e041944974ebce399612f13726e2f20559866528cce6ee975157d96','["right","long","wrong"]',2,'first','{"git_commit":"","git_branch":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":19968,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"passed_by":["exact"],"mode":"strict","gate":{},"server":{}}','finished','2026-11-28 09:32:19.696328','2026-11-28 09:32:20.388206');
INSERT INTO "runs" VALUES('words-20261128-093222-31dd62','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":8},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','1efd5738b2ff6b676cb2579ea67de5ed2f83adbeb6b81eef4b4781a754b7e420','["right","long","wrong"]',2,'second','{"git_commit":"","git_branch":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":19994,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"passed_by":["exact"],"mode":"strict","gate":{},"server":{}}','finished','2026-11-28 09:32:22.316651','2026-11-28 09:32:23.051713');
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
INSERT INTO "scores" VALUES(4,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(5,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(6,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(7,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(8,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(9,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(10,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(11,0,'exact',1.0,1,'equal');
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
COMMIT;
