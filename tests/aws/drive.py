"""explore"""
import pathlib, tempfile, time, sys
from stack import *
from drops import *
from roles import *
with tempfile.TemporaryDirectory(prefix="moondrop-aws-") as tmp:
  with Stack(pathlib.Path(tmp)) as s:
    s.upload_code()
    s.deploy('create_stack', ApiUrl=s.api_url, ApiKey=KEY, DefaultPolicy='sandbox', PollEvery='rate(1 minute)', Architecture='x86_64', RowsPerJob='100', RemindAfterSeconds='1')
    d=Drops(s)
    s.sqs.set_queue_attributes(QueueUrl=s.out['DropsQueueUrl'],Attributes={'VisibilityTimeout':'1'})
    r=Roles(s,d)
    print(list(r.all()))
    n=[0]; names=[]
    def fresh():
        n[0]+=1; nm=f'role-{n[0]}.csv'; names.append(nm); d.drop(nm, small(nm)); 
    def trial(f,sid,a,do):
        t=time.time()
        try: r.trial(f,sid,a,do); print('ok',f,sid,a,'%.1f'%(time.time()-t))
        except AssertionError as e:
            print('FAIL',f,sid,a,e)
    for a in ("sqs:ReceiveMessage","sqs:DeleteMessage"):
        trial("submit","TakeMessages",a,fresh)
    trial("submit","TellWhatIsGone","s3:ListBucket",fresh)
    r._try_submit(trial,fresh)
    t=time.time()
    try: d.finish(names,seconds=20)
    except AssertionError as e:
        print(e)
        for x in names: print(x,[(st['state'],st.get('trouble'),st['parts_by_state']) for f,st in d.statuses(x)])
        L=[l for l in open(tmp+'/ministack.log').read().split(chr(10)) if 'moondrop-poll' not in l and 'ticked' not in l]
        print(chr(10).join(l[:400] for l in L[-40:]))
        for q in ('DropsQueueUrl','DropsDeadLettersUrl'): print(s.sqs.get_queue_attributes(QueueUrl=s.out[q],AttributeNames=['All'])['Attributes'])
        raise SystemExit
    print({k:v[0][1]['state'] for k,v in d.finish(names).items()}, time.time()-t)
    print(r.refusals('submit',0)[:3])
