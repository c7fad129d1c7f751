BEGIN TRANSACTION;
CREATE TABLE agentbench_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agentbench_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "agentbench_schema" VALUES('0001');
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
	passed BOOLEAN, 
	PRIMARY KEY (id), 
	CONSTRAINT attempts_run_case_repeat UNIQUE (run_id, case_id, repeat), 
	FOREIGN KEY(run_id) REFERENCES runs (id), 
	FOREIGN KEY(case_digest) REFERENCES cases (digest)
);
INSERT INTO "attempts" VALUES(1,'words-20261128-092850-8ab52b','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36117935512194,36117935773401,1795822012990056245,'one two three four five',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(2,'words-20261128-092850-8ab52b','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36117935273258,36117935624473,1795822012990056245,'yes',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(3,'words-20261128-092850-8ab52b','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36117935473972,36117935747923,1795822012990056245,'yes',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(4,'words-20261128-092850-8ab52b','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36117935382602,36117935691168,1795822012990056245,'one two three four five',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(5,'words-20261128-092850-8ab52b','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36117935555254,36117935796304,1795822012990056245,'no',NULL,NULL,NULL,0);
INSERT INTO "attempts" VALUES(6,'words-20261128-092850-8ab52b','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36117935432686,36117935719340,1795822012990056245,'no',NULL,NULL,NULL,0);
INSERT INTO "attempts" VALUES(7,'words-20261128-092854-02c638','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36121428100363,36121428431731,1795822012990057257,'yes',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(8,'words-20261128-092854-02c638','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36121428141600,36121428458832,1795822012990057257,'one two three four five',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(9,'words-20261128-092854-02c638','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36121427843003,36121428263658,1795822012990057257,'yes',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(10,'words-20261128-092854-02c638','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36121427941838,36121428349257,1795822012990057257,'one two three four five',NULL,NULL,NULL,1);
INSERT INTO "attempts" VALUES(11,'words-20261128-092854-02c638','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36121428183248,36121428481975,1795822012990057257,'no',NULL,NULL,NULL,0);
INSERT INTO "attempts" VALUES(12,'words-20261128-092854-02c638','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36121427999095,36121428399000,1795822012990057257,'no',NULL,NULL,NULL,0);
CREATE TABLE cases (
	digest TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	cluster TEXT NOT NULL, 
	messages TEXT NOT NULL, 
	tools TEXT NOT NULL, 
	expected TEXT NOT NULL, 
	metadata TEXT NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "cases" VALUES('0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long','[{"role":"user","content":"A long answer."}]','[]','"one two three four five"','{}');
INSERT INTO "cases" VALUES('7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right','[{"role":"user","content":"Is this right?"}]','[]','"yes"','{}');
INSERT INTO "cases" VALUES('cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong','[{"role":"user","content":"Is this wrong?"}]','[]','"yes"','{}');
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
INSERT INTO "model_calls" VALUES(1,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36117935533884,36117935533884,36117935765176,'[36117935762741,36117935763573,36117935763843,36117935764004,36117935764124]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(2,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36117935335044,36117935335044,36117935597583,'[36117935594016]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(3,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36117935493329,36117935493329,36117935739187,'[36117935737935]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(4,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36117935409082,36117935409082,36117935678193,'[36117935673324,36117935675288,36117935675869,36117935676100,36117935676250]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(5,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36117935573148,36117935573148,36117935788189,'[36117935786866]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(6,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36117935451811,36117935451811,36117935709812,'[36117935708169]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(7,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36121428121833,36121428121833,36121428422534,'[36121428421031]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(8,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36121428160606,36121428160606,36121428450637,'[36121428447861,36121428448954,36121428449224,36121428449394,36121428449515]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(9,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36121427900050,36121427900050,36121428232490,'[36121428227671]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(10,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36121427971613,36121427971613,36121428323520,'[36121428318450,36121428320724,36121428321285,36121428321516,36121428321686]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(11,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36121428201322,36121428201322,36121428473580,'[36121428472277]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(12,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36121428075096,36121428075096,36121428384353,'[36121428380937]','[1]',3,NULL,1,NULL);
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
INSERT INTO "runs" VALUES('words-20261128-092850-8ab52b','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":32},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limit":null,"sample_seed":0}}','a8840e6c75b453de376bddbea88d2c3351f3a89a5780b0005ae17e8460aa8dde','["right","long","wrong"]',2,'first','{"git_commit":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":17875,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"server":{}}','finished','2026-11-28 09:28:50.827084','2026-11-28 09:28:50.960909');
INSERT INTO "runs" VALUES('words-20261128-092854-02c638','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":8},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limit":null,"sample_seed":0}}','6e7eb661ce17438998fd2e3d5f1e4ae71e74cb5ec324a355105e501d9a7fc4a2','["right","long","wrong"]',2,'second','{"git_commit":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":17894,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"server":{}}','finished','2026-11-28 09:28:54.347298','2026-11-28 09:28:54.447805');
CREATE TABLE scores (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	passed BOOLEAN NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
INSERT INTO "scores" VALUES(1,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(2,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(3,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(4,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(5,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(6,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(7,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(8,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(9,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(10,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(11,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(12,0,'exact',0.0,0,'expected ''yes'', got ''no''');
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
CREATE INDEX ix_runs_label ON runs (label);
CREATE INDEX ix_runs_created_at ON runs (created_at);
COMMIT;
